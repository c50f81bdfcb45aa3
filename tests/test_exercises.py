"""The exercises: all are asked, each accepts its answer and nothing near it, in both languages."""

import json
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch

from siglip_lab.figures import exercises
from siglip_lab.figures.exercises import EXERCISES, Exercise, exercise, readings, split, unseal

ROOT = Path(__file__).parents[1]
CALL = re.compile(r'exercise\("(\d\d\.\d)", answer=(.*)\)', re.DOTALL)


@pytest.fixture(autouse=True)
def nobody_has_tried(monkeypatch):
    monkeypatch.setattr(exercises, "_wrong_so_far", exercises.Counter())


@cache
def cells():
    """Exercise -> the texts of its question, its cell and its solution, and both cells' tags."""
    found = {}
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        notebook = nbformat.read(path, 4).cells
        for question, asked, solution in zip(notebook, notebook[1:], notebook[2:], strict=False):
            if match := CALL.search(asked.source):
                if match[2] == "None":
                    tags = asked.metadata["tags"], solution.metadata["tags"]
                    found[match[1]] = question.source, asked.source, solution.source, tags
                    assert match[1][:2] == path.name[:2]
    return found


def test_every_printed_solution_is_right():
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        for cell in nbformat.read(path, 4).cells:
            if (match := CALL.search(cell.source)) and match[2] != "None":
                assert "Right. " in str(cell.outputs), match[1]


# ---- what stands in the chapters -----------------------------------------------------------------


def test_every_exercise_is_asked_once_and_in_order():
    assert list(cells()) == list(EXERCISES) == sorted(EXERCISES)
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        text = path.read_text("utf-8")
        for number in {match for match in re.findall(r'exercise\(\\"(\d\d\.\d)\\"', text)}:
            assert text.count(f'exercise(\\"{number}\\"') == 2, number  # asked, and solved


@pytest.mark.parametrize("number", EXERCISES)
def test_question_cell_and_solution(number):
    question, asked, solution, (hidden, folded) = cells()[number]
    assert f"**{int(number[3])}. " in question
    assert hidden == ["remove-input"] and folded == ["hide-cell"]
    assert "def check" not in asked + solution
    assert solution.startswith("# Solution") and CALL.search(solution)[1] == number
    entry = EXERCISES[number]
    for choice in entry.get("choices", []):  # who works in the notebook must know them
        assert choice in question, choice
    if "choices" not in entry:  # neither the question nor a line of code gives the answer
        for word in written(number):
            assert not as_a_word(word, question.split("**", 2)[2] + asked), word


def written(number):
    """The answer as somebody would write it."""
    answer = unseal(EXERCISES[number]["answer"])
    if isinstance(answer, list):
        return [", ".join(map(str, answer)), " ".join(map(str, answer))]
    return {f"{answer:,}", f"{answer}", f"{answer:.2f}", f"{answer:.3f}"} - {"0.00", "0.000"}


def as_a_word(word, text):
    return re.search(rf"(?<![\w.,]){re.escape(word)}(?![\w%]|[.,]\d)", text)


# ---- what is said --------------------------------------------------------------------------------


@pytest.mark.parametrize("number", EXERCISES)
def test_the_answer_is_right_and_near_misses_are_not(number):
    asked, entry = Exercise(number), EXERCISES[number]
    right = f"Right. {entry['right']}"
    assert asked.reply(asked.answer) == right
    if entry["kind"] == "number":
        within = entry.get("within", 0)
        assert (
            asked.reply(str(asked.answer).replace("-", "−") + " " + entry.get("unit", "")) == right
        )
        for way in (-1, 1):
            assert asked.reply(asked.answer + way * within * 0.9) == right
            near = asked.answer + way * (1.1 * within or 1)
            assert asked.reply(near).startswith("Not yet. "), near
    elif entry["kind"] == "numbers":
        assert asked.reply(";".join(map(str, asked.answer))) == right
        assert asked.reply(asked.answer[:-1]).endswith("cannot be read here: expected "
                                                       f"{asked.expected()}.")  # fmt: skip
        back = asked.reply(asked.answer[::-1])
        assert (back == right) == bool(entry.get("any_order"))
        assert asked.reply([n + 1 for n in asked.answer]).startswith("Not yet. ")
    elif entry["kind"] == "pieces":
        assert asked.reply(" ".join(asked.answer).replace("▁", "_")) == right
        assert asked.reply(asked.answer[::-1]).startswith("Not yet. ")
    elif entry["kind"] == "choice":
        for choice in set(entry["choices"]) - {asked.answer}:
            assert asked.reply(choice).startswith("Not yet. ")
        assert "expected one of" in asked.reply("perhaps")
    else:
        assert asked.reply(set(asked.answer)) == right
        for choice in entry["choices"]:
            one_off = set(asked.answer) ^ {choice}
            assert asked.reply(one_off).startswith("Not yet. " if one_off else "set()"), choice


@pytest.mark.parametrize("number", EXERCISES)
def test_every_hint_is_reached_and_none_gives_the_answer(number):
    asked, entry = Exercise(number), EXERCISES[number]
    assert len(entry["hints"]) >= 2
    wrong = {"number": 123.456, "numbers": [7] * 99, "pieces": ["x"]}.get(entry["kind"])
    if entry["kind"] == "numbers":
        wrong = wrong[: len(asked.answer)]
    elif "choices" in entry:  # one that has no hint of its own, if there is one
        taken = [value for value, _ in entry.get("wrong", [])] + [asked.answer]
        others = [c if entry["kind"] == "choice" else [c] for c in entry["choices"]]
        wrong = next((other for other in others if other not in taken), None)
    if wrong is not None:
        for hint in (*entry["hints"], entry["hints"][-1]):
            assert asked.reply(wrong) == f"Not yet. {hint}"
    for value, hint in entry.get("wrong", []):
        assert asked.reply(value) == f"Not yet. {hint}"
    for hint in [*entry["hints"], *(hint for _, hint in entry.get("wrong", []))]:
        assert len(hint) <= 170 and hint[-1] in ".?"
        if "choices" not in entry and asked.answer not in (0, 1):
            assert not any(as_a_word(word, hint) for word in written(number)), hint


def test_all_kinds_of_python_answers(capsys):
    for answer in ([57, 183], (57, 183), np.array([57, 183], np.uint8), torch.tensor([57, 183]),
                   "57; 183", "[57, 183]"):  # fmt: skip
        assert exercise("02.1", answer=answer) is None
        assert capsys.readouterr().out.startswith("Right. "), answer
    for number, answer in (("04.1", torch.tensor(8)), ("05.4", 96), ("07.3", ["bias", "sigmoid",
                           "scale"]), ("18.3", {9, 1}), ("17.1", "153,6 MB")):  # fmt: skip
        exercise(number, answer=answer)
        assert capsys.readouterr().out.startswith("Right. "), answer
    for answer in ("many", object(), [8, 9], {}, ""):
        assert "cannot be read here: expected a whole number." in Exercise("05.2").reply(answer)


def test_an_exercise_that_waits():
    asked = exercise("02.1")
    assert repr(asked).endswith("put a list of 2 numbers in place of None and run the cell")
    html = asked._repr_html_()
    assert "<siglip-exercise" in html and "a list of 2 numbers" in html
    assert "57" not in html.replace(asked.data()["sealed"], "")
    for hidden in ("hints", "right", "wrong", "answer", "within"):
        assert hidden not in asked.data()
    with pytest.raises(ValueError, match=rf"'8.2'.*'01.1' to '{max(EXERCISES)}'"):
        exercise("8.2")


FUNCTIONS = [number for number, entry in EXERCISES.items() if "cases" in entry]


@pytest.mark.parametrize("number", FUNCTIONS)
def test_a_function_is_asked_for_and_the_page_asks_its_first_case(number):
    question, _, solution, _ = cells()[number]
    name, arguments = re.search(r"`(\w+)\((.*?)\)`(, instead)?\.$", question).groups()[:2]
    assert f"def {name}({arguments}):" in solution
    assert f'exercise("{number}", answer={name})' in solution
    cases = unseal(EXERCISES[number]["cases"])
    assert {len(given) for given, _ in cases} == {len(arguments.split(", "))}
    if "ask" not in EXERCISES[number]:
        assert cases[0][1] == unseal(EXERCISES[number]["answer"]) and len(cases) >= 2
        said = Exercise(number).reply(lambda *given: cases[0][1])
        assert re.match(r"Not yet\. It gives .+ for .+\.", said)
    answers = iter([expected for _, expected in cases])  # the cases are tried in their order
    right = Exercise(number).reply(lambda *given: next(answers))
    assert right == f"Right. {EXERCISES[number]['right']}"


def test_every_chapter_asks_for_a_function():
    assert {number[:2] for number in FUNCTIONS} == {number[:2] for number in EXERCISES}


def test_a_function_is_tried():
    def rounds(values):
        return ((values + 1) / 2 * 255).round().byte().permute(1, 2, 0)

    def cuts(values):
        return ((values + 1) / 2 * 255).byte().permute(1, 2, 0)

    asked = Exercise("02.3")
    assert "a whole number, or a function" in repr(asked)
    assert asked.reply(rounds).startswith("Right. ")
    assert asked.reply(lambda v: rounds(v).numpy()).startswith("Right. ")
    for wrong in (cuts, lambda values: None, lambda values: values, lambda values: 3):
        assert asked.reply(wrong).startswith("Not yet. It gives "), wrong
    two = Exercise("16.4")
    assert two.reply(lambda p, n: 100 * p / (p + n * (100 - p))).startswith("Right. ")
    assert two.reply(lambda p, n: [432]) == "Not yet. It gives [432] for 80, 10."
    assert "cannot be read here: expected a whole number." in Exercise("05.2").reply(rounds)


# ---- the page reads as the notebook does ---------------------------------------------------------

TYPED = {
    "6,93": [6.93], "−6.93": [-6.93], "–3": [-3], "1e-3": [0.001], "1E3": [1000], ".5": [0.5],
    "+3": [3], "5.": [5], "50 %": [0.5], "50%": [0.5], "9/16": [0.5625], "9 / 16": [0.5625],
    "1/0": [], "16,384": [16384, 16.384], "2,657,664": [2657664], "2 657 664": [2657664],
    "2\u202f657\u00a0664": [2657664], "16_384": [16384], "0,567": [0.567], "1,5678": [1.5678],
    "1,234.5": [1234.5], "1.234,5": [], "1.2.3": [], "1,2,3": [], "": [], "  ": [], "abc": [],
    "0x10": [], "1e": [], "e5": [], "inf": [], "nan": [], "12 MB": [], "--3": [], "٣": [],
    "1e400": [float("inf")], " 7 ": [7], "7 8": [], "1 e3": [],
}  # fmt: skip
LISTS = {
    "[3, 17, 10]": ["3", "17", "10"], "(432, 378)": ["432", "378"], "{1; 9}": ["1", "9"],
    "1,9": ["1", "9"], "3 and 17": ["3", "17"], "57,1; 182,9": ["57,1", "182,9"], "8": ["8"],
    "80 000, 512 000": ["80 000", "512 000"],
    "80 000;512 000": ["80 000", "512 000"],
    "80,000, 512,000": ["80,000", "512,000"], "80,000 512,000": ["80,000", "512,000"],
    "3 ,17": ["3", "17"], " 1  2 ": ["1", "2"], "1, 2,": ["1", "2"], "": [""], ",": [""],
    "h + ow</w>": ["h", "ow</w>"], "'h', 'ow</w>'": ["h", "ow</w>"], "“h”,“ow”": ["h", "ow"],
}  # fmt: skip


@pytest.mark.parametrize("text", TYPED)
def test_numbers_as_people_type_them(text):
    assert readings(text) == TYPED[text]


@pytest.mark.parametrize("text", LISTS)
def test_lists_as_people_type_them(text):
    assert split(text) == LISTS[text]


def test_units():
    assert readings("153.6 mb", "MB") == [153.6] and readings("12%", "%") == [12]
    assert readings("50 %", "MB") == [0.5] and readings("MB", "MB") == []


def test_the_page_reads_and_compares_as_the_notebook(book_site):
    """Every text above, and each of them as the answer to every exercise."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("needs node; tests/test_site_exercises.py tries the page in a browser")
    typed = [*TYPED, *LISTS, "12 %", "153,6 MB", "_hear th", "h ow", "432 378"]
    typed += ["; ".join(map(str, a)) if isinstance(a, list) else str(a)
              for a in (unseal(e["answer"]) for e in EXERCISES.values())]  # fmt: skip
    asked = {n: EXERCISES[n] | {"answer": unseal(EXERCISES[n]["answer"])} for n in EXERCISES
             if "choices" not in EXERCISES[n]}  # fmt: skip
    script = book_site.one_script("exercise") + f"const typed = {json.dumps(typed)};"
    script += (
        f"const asked = {json.dumps(asked)};"
        + """
      const verdict = (entry, text) => {
        const given = read(entry, text);
        return given && [same(entry, entry.answer, given),
                         (entry.wrong ?? []).map(([value]) => same(entry, value, given))];
      };
      const finite = (numbers) => numbers.map((n) => Number.isFinite(n) ? n : String(n));
      console.log(JSON.stringify({
        readings: typed.map((text) => finite(readings(text))),
        split: typed.map(split),
        verdicts: Object.values(asked).map((entry) => typed.map((text) => verdict(entry, text))),
      }));"""
    )
    command = [node, "--input-type=module"]
    run = subprocess.run(command, input=script, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    page = json.loads(run.stdout)
    infinite = {float("inf"): "Infinity"}
    for text, numbers, parts in zip(typed, page["readings"], page["split"], strict=True):
        assert numbers == [infinite.get(n, n) for n in readings(text)], text
        assert parts == split(text), text
    for number, verdicts in zip(asked, page["verdicts"], strict=True):
        one = Exercise(number)
        for text, said in zip(typed, verdicts, strict=True):
            given = one.read(text)
            expected = given and [
                one.same(one.answer, given),
                [one.same(value, given) for value, _ in one.entry.get("wrong", [])],
            ]
            assert said == expected, (number, text)
