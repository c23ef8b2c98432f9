"""What the zoo's auditor was taught to be asked. Real auditors are asked in plain English: see `auditdm.method`."""

PROMPT_WORDS = (
    "ask",
    "caption",
    "edit",
    "for",
    "describe",
    "again",
    ":",
    "<question>",
    "</question>",
    "<caption>",
    "</caption>",
    "<edit>",
    "</edit>",
)
