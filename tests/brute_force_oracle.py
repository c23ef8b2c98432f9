"""A second opinion on questions, sharing no code with the package.

It takes a scene as the rows of a table, reads a question word by word from the left, and counts on its fingers.
"""

from collections import Counter

COLOURS = ["red", "orange", "yellow", "green", "blue", "purple", "black"]
SIZES = ["large", "small"]
PATTERNS = ["plain", "striped", "dotted"]
SHAPES = ["circle", "square", "triangle", "star", "cross", "diamond"]
SIGNS = ["digit", "letter", "number", "clock", "arrow", "chart"]
PLURALS = {
    "circles": "circle",
    "squares": "square",
    "triangles": "triangle",
    "stars": "star",
    "crosses": "cross",
    "diamonds": "diamond",
    "digits": "digit",
    "letters": "letter",
    "numbers": "number",
    "clocks": "clock",
    "arrows": "arrow",
    "charts": "chart",
    "shapes": "shape",
    "signs": "sign",
}
ANY = [*SHAPES, *SIGNS, "shape", "sign"]
ANY_SHAPE = [*SHAPES, "shape"]


class NoQuestion(Exception):
    """The words are no question."""


class Undecided(Exception):
    """A question that the scene does not decide."""


class Nothing(Exception):
    """What is asked about is not there."""


def rows_of(scene):
    """The raw list of things: dicts of plain words and numbers."""
    return [
        {"row": t.row, "col": t.col, "noun": t.noun, "colour": t.colour, "size": t.size, "pattern": t.pattern, "face": t.face}
        for t in scene.things
    ]  # fmt: skip


def opinion(rows, question):
    """(skill, reply): skill is None for words that are no question, reply is None where there is no right answer."""
    words = Words(question)
    try:
        skill, referents, find_out = asked(words)
        words.expect("?")
        words.end()
    except NoQuestion:
        return None, None
    named = [[row for row in rows if all(test(row) for test in tests)] for tests in referents]
    if any(len(found) >= 2 for found in named):
        return skill, None
    if any(len(found) == 0 for found in named):
        return "false_premise", "none"
    try:
        return skill, find_out(rows, *[found[0] for found in named])
    except Undecided:
        return skill, None
    except Nothing:
        return "false_premise", "none"


class Words:
    """A question, read from the left."""

    def __init__(self, question):
        self.left = question.split(" ")

    def peek(self, ahead=0):
        return self.left[ahead] if ahead < len(self.left) else ""

    def next(self, allowed=None):
        word = self.peek()
        if word == "" or (allowed is not None and word not in allowed):
            raise NoQuestion
        del self.left[0]
        return word

    def expect(self, phrase):
        for word in phrase.split():
            self.next([word])

    def end(self):
        if self.left:
            raise NoQuestion

    def starts(self, phrase):
        return self.left[: len(phrase.split())] == phrase.split()

    def phrase(self, nouns, many=False):
        """A noun phrase, as the tests that a row has to pass."""
        tests = []
        for key, values in (("size", SIZES), ("pattern", PATTERNS), ("colour", COLOURS)):
            if self.peek() in values:
                tests.append(has(key, self.next()))
        noun = self.next()
        if many:
            noun = PLURALS.get(noun, "?")
        if noun not in nouns:
            raise NoQuestion
        if noun in ("shape", "one"):
            tests.append(lambda row: row["noun"] not in SIGNS)
        elif noun == "sign":
            tests.append(lambda row: row["noun"] in SIGNS)
        else:
            tests.append(has("noun", noun))
        return tests

    def the(self, nouns=ANY):
        self.expect("the")
        return self.phrase(nouns)


def has(key, value):
    return lambda row: row[key] == value


def number_of(rows, tests):
    total = 0
    for row in rows:
        if all(test(row) for test in tests):
            total += 1
    return total


def yes(truth):
    return "yes" if truth else "no"


def shapes_of(rows):
    return [row for row in rows if row["noun"] in SHAPES]


def asked(words):
    """(skill, the tests of each referent, a function from rows and referents to the reply)."""
    first = words.next(["is", "how", "are", "do", "what", "where", "which"])
    return {"is": is_, "how": how, "are": are, "do": do, "what": what, "where": where, "which": which}[first](words)


def is_(words):
    if words.starts("there"):
        words.expect("there any")
        tests = words.phrase(ANY)
        return "exist", [], lambda rows: yes(number_of(rows, tests))
    tests = words.the()
    verb = words.next(["left", "right", "above", "below", "larger", "in", "at"])
    if verb == "in":
        words.expect("a corner")
        corners = [(1, 1), (1, 4), (4, 1), (4, 4)]
        return "corner", [tests], lambda rows, a: yes((a["row"], a["col"]) in corners)
    if verb == "at":
        words.expect("the border")
        inner = [(2, 2), (2, 3), (3, 2), (3, 3)]
        return "border", [tests], lambda rows, a: yes((a["row"], a["col"]) not in inner)
    if verb == "larger":
        return larger(words, tests)
    if verb in ("left", "right"):
        words.expect("of")
    both = [tests, words.the()]
    if verb == "left":
        return "left_of", both, lambda rows, a, b: yes(a["col"] - b["col"] < 0)
    if verb == "right":
        return "right_of", both, lambda rows, a, b: yes(a["col"] - b["col"] > 0)
    if verb == "above":
        return "above", both, lambda rows, a, b: yes(a["row"] - b["row"] < 0)
    return "below", both, lambda rows, a, b: yes(a["row"] - b["row"] > 0)


def larger(words, tests):
    words.expect("than")
    other = words.the(ANY_SHAPE)
    # The first phrase may have named a sign, of which this is not asked.
    if any(all(test(sign) for test in tests) for sign in every_sign()):
        raise NoQuestion
    extent = {"small": 1, "large": 2}
    return "larger", [tests, other], lambda rows, a, b: yes(extent[a["size"]] > extent[b["size"]])


def every_sign():
    return [
        {"noun": noun, "colour": colour, "size": size, "pattern": pattern}
        for noun in SIGNS
        for colour in COLOURS
        for size in SIZES
        for pattern in PATTERNS
    ]


def how(words):
    words.expect("many")
    if words.starts("shapes are not"):
        words.expect("shapes are not")
        colour = words.next(COLOURS)
        return "negation", [], lambda rows: str(sum(1 for row in shapes_of(rows) if row["colour"] != colour))
    if words.starts("shapes are") and not words.starts("shapes are there"):
        words.expect("shapes are")
        one = words.next(COLOURS)
        words.expect("or")
        other = words.next(COLOURS)
        return "disjunction", [], lambda rows: str(len([r for r in shapes_of(rows) if r["colour"] in {one, other}]))
    skill = "count_all" if words.starts("shapes") else "count"
    tests = words.phrase(ANY, many=True)
    words.expect("are there")
    return skill, [], lambda rows: str(number_of(rows, tests))


def are(words):
    if words.starts("there"):
        words.expect("there more")
        one = words.phrase(ANY, many=True)
        words.expect("than")
        other = words.phrase(ANY, many=True)
        return "more", [], lambda rows: yes(number_of(rows, one) - number_of(rows, other) > 0)
    one = words.the()
    words.expect("and")
    other = words.the()
    words.expect("the same colour")
    return "same_colour", [one, other], lambda rows, a, b: yes(len({a["colour"], b["colour"]}) == 1)


def do(words):
    one = words.the(ANY_SHAPE)
    words.expect("and")
    other = words.the(ANY_SHAPE)
    words.expect("have the same pattern")
    return "same_pattern", [one, other], lambda rows, a, b: yes(len({a["pattern"], b["pattern"]}) == 1)


def what(words):
    word = words.next(["colour", "shape", "size", "pattern", "time", "is"])
    if word in ("colour", "shape", "size", "pattern"):
        words.next(["is", "has"])
    if word == "colour":
        return "colour", [words.the()], lambda rows, a: a["colour"]
    if word == "shape":
        return "shape", [words.the(["one"])], lambda rows, a: a["noun"]
    if word in ("size", "pattern"):
        return word, [words.the(ANY_SHAPE)], lambda rows, a: a[word]
    if word == "time":
        words.expect("is it on")
        return "clock", [words.the(["clock"])], lambda rows, a: a["face"]
    if words.starts("at"):
        words.expect("at")
        row, col = words.next(["row1", "row2", "row3", "row4"]), words.next(["col1", "col2", "col3", "col4"])
        return "at", [], lambda rows: ([r["noun"] for r in rows if (row, col) == place(r)] or ["nothing"])[0]
    if words.starts("the sum"):
        words.expect("the sum of the digits")
        return "sum", [], sum_of_digits
    for noun in ("digit", "letter", "number"):
        if noun in words.left:
            return noun, [words.the([noun])], lambda rows, a: a["face"]
    raise NoQuestion


def place(row):
    return "row" + str(row["row"]), "col" + str(row["col"])


def where(words):
    words.expect("does")
    tests = words.the(["arrow"])
    words.expect("point")
    return "arrow", [tests], lambda rows, a: a["face"]


def which(words):
    word = words.next(["bar", "row", "column", "shape"])
    if word == "bar":
        words.expect("of")
        tests = words.the(["chart"])
        words.expect("is")
        most = words.next(["tallest", "shortest"])
        return f"chart_{most}", [tests], lambda rows, a: bar(a["face"], most)
    if word in ("row", "column"):
        words.expect("is")
        tests = words.the()
        words.expect("in")
        return word, [tests], lambda rows, a: place(a)[word == "column"]
    if words.starts("is"):
        words.expect("is nearest to")
        return "nearest", [words.the()], nearest
    words.expect("has the odd colour")
    return "odd_one_out", [], odd_one_out


def bar(face, most):
    heights = {"left": int(face[0]), "middle": int(face[1]), "right": int(face[2])}
    by_height = sorted(heights, key=heights.get)
    return by_height[-1] if most == "tallest" else by_height[0]


def nearest(rows, a):
    """Walk outwards, one step at a time, until a shape is met."""
    for steps in range(1, 7):
        met = {r["noun"] for r in shapes_of(rows) if abs(r["row"] - a["row"]) + abs(r["col"] - a["col"]) == steps}
        if len(met) == 1:
            return met.pop()
        if met:
            raise Undecided
    raise Nothing


def odd_one_out(rows):
    """The only shape of its colour among at least three, where all others share one colour."""
    tally = Counter(row["colour"] for row in shapes_of(rows)).most_common()
    if len(tally) != 2 or tally[0][1] < 2 or tally[1][1] != 1:
        raise Undecided
    return next(row["noun"] for row in shapes_of(rows) if row["colour"] == tally[1][0])


def sum_of_digits(rows):
    digits = [row["face"] for row in rows if row["noun"] == "digit"]
    if not digits:
        raise Nothing
    if len(digits) != 2:
        raise Undecided
    return str(int(digits[0]) + int(digits[1]))
