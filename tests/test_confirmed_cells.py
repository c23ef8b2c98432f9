"""What an earlier audit confirmed pays the auditor nothing."""

import pytest

from auditdm.errors import ConfigError
from auditdm.method.archive import Archive
from auditdm.runs.auditor_training import confirmed_cells
from confirmed_run import confirmed_run
from synthetic_run import synthetic_run


def test_the_cells_of_confirmed_findings_pay_nothing_and_others_do(tmp_path):
    cells = confirmed_cells(confirmed_run(tmp_path / "run"))
    assert cells, "two findings are confirmed there"
    archive = Archive()
    archive.confirm(cells)
    assert archive.novelty([("Does the cat sleep?", "yes")]) == [1.0]
    questions = {cell.form for cell in cells}
    assert any(form.startswith(("what", "how")) for form in questions), questions


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"training\.confirmed_in is .* from which no findings can be read"):
        confirmed_cells(tmp_path / "nowhere")


def test_an_audit_without_a_ledger_is_refused(tmp_path):
    path = synthetic_run(tmp_path / "run")
    (tmp_path / "run" / "search.json").unlink(missing_ok=True)
    with pytest.raises(ConfigError, match=r"it has no ledger\. Give a finished audit"):
        confirmed_cells(path)
