"""The file of answers: what is acknowledged stays, what is refused leaves no trace, and who may open it."""

import shutil
import sqlite3
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from fewlabels.errors import RunError, StorageError
from fewlabels.review.store import file as store_file
from fewlabels.review.store.classes import ClassChange
from fewlabels.review.store.file import find_review_folder, identify_run, open_store
from fewlabels.review.store.values import Answer, Conflict, Mark, Refusal, Request, Reused, Written
from tests.faults.lanes import size

CLIENTS = st.sampled_from(["tab-1", "tab-2"])


def label(row, name, version):
    return Answer(row, "label", name, version)


def one(store, client, seq, *answers):
    (outcome,) = store.write([Request(client, seq, answers or None)])
    return outcome


@pytest.fixture
def store(tmp_path):
    found = open_store(tmp_path, "run")
    yield found
    found.close()


class Reviewing(RuleBasedStateMachine):
    """Two tabs, retries, crashes and a full disk against a dict: row -> (label, skipped, version, state), where a
    state is an object of its own that an undo brings back."""

    @initialize()
    def begin(self):
        self.folder = Path(tempfile.mkdtemp())
        self.store = self.opened()
        self.rows, self.sent, self.undoable = {}, [], {"tab-1": [], "tab-2": []}

    def opened(self):
        found = open_store(self.folder, "run")
        found._connection.execute("PRAGMA synchronous = OFF")  # the logic is tested here, by hundreds of commits
        return found

    def teardown(self):
        if hasattr(self, "store"):
            self.store.close()
            shutil.rmtree(self.folder)

    def now(self, row):
        return self.rows.get(row, (None, False, 0, "blank"))

    @rule(
        client=CLIENTS,
        wanted=st.dictionaries(
            st.integers(0, 3), st.sampled_from([("label", "a"), ("label", "b"), ("skip", None), ("clear", None)])
        ).filter(bool),
        late=st.sampled_from([0, 0, 0, -1, 1]),
    )
    def answer(self, client, wanted, late):
        seq = len(self.sent)
        answers = tuple(Answer(row, *what, max(0, self.now(row)[2] + late)) for row, what in wanted.items())
        request = Request(client, seq, answers)
        (outcome,) = self.store.write([request])
        stale = {a.row for a in answers if a.version != self.now(a.row)[2]}
        self.sent.append((request, outcome))
        if stale:
            assert isinstance(outcome, Conflict)
            assert {row for row, _, _ in outcome.rows} == stale
            return
        before = {a.row: self.now(a.row) for a in answers}
        for a in answers:
            self.rows[a.row] = (a.label, a.action == "skip", a.version + 1, (seq, a.row))
        self.undoable[client].append((before, seq))
        self.check(outcome, before)

    @rule(client=CLIENTS)
    def undo(self, client):
        seq = len(self.sent)
        request = Request(client, seq, None)
        (outcome,) = self.store.write([request])
        self.sent.append((request, outcome))
        if not self.undoable[client]:
            assert outcome.nothing
            return
        before, undone = self.undoable[client][-1]
        lost = {row for row in before if self.now(row)[3] != (undone, row)}
        if lost:
            assert isinstance(outcome, Conflict)
            assert {row for row, _, _ in outcome.rows} == lost
            return
        self.undoable[client].pop()
        for row, (name, skipped, _, state) in before.items():
            self.rows[row] = (name, skipped, self.now(row)[2] + 1, state)
        self.check(outcome, before)

    def check(self, outcome, rows):
        assert isinstance(outcome, Written)
        assert {row: (m.label, m.skipped, m.version) for row, m in outcome.applied} == {
            row: self.now(row)[:3] for row in rows
        }
        assert outcome.answered == self.store.answered

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def retry(self, data):
        written = [pair for pair in self.sent if isinstance(pair[1], Written)]
        if not written:
            return
        request, outcome = data.draw(st.sampled_from(written))
        (again,) = self.store.write([request])
        assert again == replace(outcome, is_new=False)
        other = replace(request, answers=(label(0, "another", 99),))
        assert self.store.write([other]) == [Reused()]

    @rule()
    def crash(self):
        self.store.close()
        self.store = self.opened()

    @rule(client=CLIENTS)
    def full_disk(self, client):
        pages = self.store._connection.execute("PRAGMA page_count").fetchone()[0]
        self.store._connection.execute(f"PRAGMA max_page_count = {pages}")
        answers = tuple(label(row, "x" * 5000, 0) for row in range(100, 110))
        with pytest.raises(sqlite3.OperationalError, match="full"):
            self.store.write([Request(client, len(self.sent), answers)])
        self.store._connection.execute("PRAGMA max_page_count = 1000000")

    @invariant()
    def the_store_is_the_model(self):
        if hasattr(self, "store"):
            self.store._read_state()  # after a failed commit it asks the file
            assert {row: (m.label, m.skipped, m.version) for row, m in self.store.marks.items()} == {
                row: now[:3] for row, now in self.rows.items()
            }
            assert self.store.answered == sum(now[0] is not None for now in self.rows.values())
            assert self.store.skipped == sum(now[1] for now in self.rows.values())
            written = [outcome for _, outcome in self.sent if isinstance(outcome, Written)]
            assert self.store.history(0, 1000)[0] == len(written) == self.store.event


TestReviewing = Reviewing.TestCase
TestReviewing.settings = settings(
    max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)


class LongReviewing(Reviewing):
    """The same, longer."""


TestLongReviewing = pytest.mark.slow(LongReviewing.TestCase)
TestLongReviewing.settings = settings(
    max_examples=size(200, 200, 5000), stateful_step_count=60, deadline=None, suppress_health_check=list(HealthCheck)
)


def test_requests_that_wait_together_each_see_those_before_them(store):
    outcomes = store.write(
        [
            Request("a", 1, (label(3, "cat", 0),)),
            Request("b", 1, (label(3, "dog", 0),)),  # knew nothing of it
            Request("a", 2, (label(3, "dog", 1), Answer(4, "skip", None, 0))),
            Request("a", 2, (label(3, "dog", 1), Answer(4, "skip", None, 0))),
        ]
    )
    assert outcomes[1] == Conflict(((3, "dog", Mark("cat", "", 1, 1)),))
    assert outcomes[3] == replace(outcomes[2], is_new=False)
    assert store.answers() == {3: "dog", 4: None}


def test_a_conflict_in_one_row_writes_none_of_the_request(store):
    one(store, "a", 1, label(1, "cat", 0))
    assert isinstance(one(store, "b", 1, label(0, "dog", 0), label(1, "dog", 0)), Conflict)
    assert store.answers() == {1: "cat"}
    assert store.history(0, 10)[0] == 1


def test_two_undos_go_back_two_requests(store):
    one(store, "a", 1, label(1, "cat", 0))
    one(store, "a", 2, label(1, "dog", 1))
    assert one(store, "a", 3).applied == ((1, Mark("cat", "", 3, 1)),)
    assert one(store, "a", 4).applied == ((1, Mark(None, "", 4, 0)),)
    assert one(store, "a", 5).nothing


def test_an_undo_of_what_somebody_else_has_changed_is_a_conflict(store):
    one(store, "a", 1, label(1, "cat", 0))
    one(store, "b", 1, label(1, "dog", 1))
    assert isinstance(one(store, "a", 2), Conflict)
    assert one(store, "b", 2).applied[0][1].label == "cat"
    assert one(store, "a", 3).applied[0][1].label is None  # b took it back: now it can be


def test_history_cannot_be_rewritten_even_with_another_program(store, tmp_path):
    one(store, "a", 1, label(1, "cat", 0))
    other = sqlite3.connect(tmp_path / store_file.NAME)
    for statement in ("DELETE FROM events", "UPDATE changes SET label = 'dog'", "DELETE FROM changes"):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            other.execute(statement)
    other.close()


def test_a_second_writer_cannot_lose_an_update(store, tmp_path):
    other = open_store(tmp_path, "run")
    one(store, "a", 1, label(1, "cat", 0))
    assert isinstance(one(other, "b", 1, label(1, "dog", 0)), Conflict)  # it believed version 0, and asks the file
    other.close()


def test_a_commit_is_flushed_before_it_returns(store):
    assert store._connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    assert store._connection.execute("PRAGMA synchronous").fetchone() == (3,)  # EXTRA


def test_a_file_that_is_removed_while_open_takes_no_more_answers(store, tmp_path):
    one(store, "a", 1, label(1, "cat", 0))
    (tmp_path / store_file.NAME).unlink()
    with pytest.raises(sqlite3.OperationalError):
        one(store, "a", 2, label(2, "cat", 0))


def test_answers_to_another_run_are_refused(tmp_path):
    open_store(tmp_path, "run").close()
    with pytest.raises(RunError, match=r"FL-C77 .*move .* away to begin a new review"):
        open_store(tmp_path, "another")


@pytest.mark.parametrize("pragma", ["user_version = 3", "application_id = 7"])
def test_a_file_of_another_version_or_program_is_refused(tmp_path, pragma):
    open_store(tmp_path, "run").close()
    other = sqlite3.connect(tmp_path / store_file.NAME)
    other.execute(f"PRAGMA {pragma}")
    other.close()
    with pytest.raises(RunError, match="FL-C76"):
        open_store(tmp_path, "run")


def damaged(folder, spoil):
    found = open_store(folder, "run")
    found.write([Request("a", seq, (label(seq, "cat" * 50, 0),)) for seq in range(200)])
    found.close()
    path = folder / store_file.NAME
    path.write_bytes(spoil(path.read_bytes()))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: b"not a database at all" * 500,
        lambda data: data[: len(data) // 2],
        lambda data: data[:4096] + bytes(4096) + data[8192:],
        lambda data: data.replace(b"cat" * 50, b"dog" * 50, 1),
    ],
    ids=["other file", "cut off", "zeros", "another label"],
)
def test_a_damaged_file_is_refused_and_left_as_it_is(tmp_path, spoil):
    damaged(tmp_path, spoil)
    before = (tmp_path / store_file.NAME).read_bytes()
    with pytest.raises(RunError, match=r"FL-C78 .*Copy .* first; then restore"):
        open_store(tmp_path, "run")
    assert (tmp_path / store_file.NAME).read_bytes() == before


def test_changes_that_do_not_follow_from_each_other_are_damage(tmp_path):
    found = open_store(tmp_path, "run")
    one(found, "a", 1, label(1, "cat", 0))
    found._connection.execute("INSERT INTO changes VALUES (1, 1, 2, 'dog', 0, 1, 'cat', 0, 2)")
    found.close()
    with pytest.raises(RunError, match=r"FL-C78 .*does not follow"):
        open_store(tmp_path, "run")


def test_a_file_that_cannot_be_made_says_so(tmp_path):
    (tmp_path / store_file.NAME).mkdir()
    with pytest.raises(StorageError, match="FL-D1"):
        open_store(tmp_path, "run")


def test_a_kill_while_the_file_is_made_leaves_one_that_is_made_anew(tmp_path):
    (tmp_path / store_file.NAME).touch()
    open_store(tmp_path, "run").close()


def test_the_review_lies_beside_the_sealed_run_and_knows_it_by_its_hashes(tmp_path):
    run = tmp_path / "demo"
    run.mkdir()
    assert find_review_folder(run) == tmp_path / "demo.review"
    (run / "run.json").write_text("{}")
    unfinished = identify_run(run)
    (run / "manifest.json").write_text("{ }")
    assert len({unfinished, identify_run(run)}) == 2


# Version 2: classes that are made, renamed and merged, and answers without a class


def classes(store, client, seq, action, **what):
    (outcome,) = store.write([Request(client, seq, None, ClassChange(action, **what))])
    return outcome


def version_of(folder):
    with sqlite3.connect(folder / store_file.NAME) as connection:
        return connection.execute("PRAGMA user_version").fetchone()[0]


def test_a_file_is_of_version_1_until_something_needs_version_2(tmp_path):
    store = open_store(tmp_path, "run", ["cat"])
    one(store, "a", 1, label(0, "cat", 0), Answer(1, "skip", None, 0))
    assert version_of(tmp_path) == 1
    one(store, "a", 2, Answer(2, "unsure", None, 0))
    assert version_of(tmp_path) == 2
    store.close()
    again = open_store(tmp_path, "run", ["cat"])
    assert again.left_out() == {1: "skip", 2: "unsure"}
    assert again.labels() == {0: "cat"}
    again.close()


def test_a_program_that_knows_version_1_alone_refuses_version_2(tmp_path, monkeypatch):
    store = open_store(tmp_path, "run", [])
    classes(store, "a", 1, "class", name="cat")
    store.close()
    monkeypatch.setattr(store_file, "VERSIONS", (1,))
    with pytest.raises(RunError, match="FL-C76 answers of version 2, this fewlabels reads 1"):
        open_store(tmp_path, "run", [])


def test_classes_are_made_renamed_and_merged_and_numbers_stay(tmp_path):
    store = open_store(tmp_path, "run", ["cat"])
    assert classes(store, "a", 1, "class", name="dgo").made.number == 1
    one(store, "a", 2, label(5, "dgo", 0), label(6, "cat", 0))
    classes(store, "a", 3, "rename", name="dog", key="dgo")
    assert store.labels() == {5: "dog", 6: "cat"}
    classes(store, "a", 4, "class", name="puppy")
    one(store, "a", 5, label(7, "puppy", 0))
    classes(store, "b", 1, "merge", key="puppy", into="dgo")
    assert (store.labels()[7], store.numbers()[7], store.classes.stands_for) == ("dog", 2, (0, 1, 1))
    assert store.classes.names == ("cat", "dog", None)
    store.close()
    again = open_store(tmp_path, "run", ["cat"])
    assert again.classes == store.classes
    assert again.labels() == {5: "dog", 6: "cat", 7: "dog"}
    one(again, "b", 2)  # the merge is undone
    assert again.labels()[7] == "puppy"
    again.close()
    last = open_store(tmp_path, "run", ["cat"])
    assert last.classes.names == ("cat", "dog", "puppy")
    last.close()


def test_undo_goes_back_through_answers_and_classes_in_turn(tmp_path):
    store = open_store(tmp_path, "run", [])
    classes(store, "a", 1, "class", name="cat")
    one(store, "a", 2, label(0, "cat", 0))
    classes(store, "a", 3, "rename", name="kitten", key="cat")
    one(store, "a", 4)
    assert store.labels() == {0: "cat"}
    one(store, "a", 5)
    assert store.labels() == {}
    one(store, "a", 6)
    assert store.classes.names == (None,)
    assert one(store, "a", 7).nothing
    assert classes(store, "a", 8, "class", name="cat").made.number == 1
    store.close()


@pytest.mark.parametrize(
    ("action", "what"),
    [
        ("class", {"name": "cat"}),
        ("rename", {"name": "dog", "key": "cat"}),
        ("rename", {"name": "bird", "key": "cow"}),
        ("merge", {"key": "cat", "into": "cat"}),
        ("merge", {"key": "cat", "into": "cow"}),
    ],
)
def test_a_change_that_the_classes_do_not_allow_is_refused_and_leaves_no_trace(tmp_path, action, what):
    store = open_store(tmp_path, "run", ["cat", "dog"])
    assert isinstance(classes(store, "a", 1, action, **what), Refusal)
    assert (store.event, version_of(tmp_path)) == (0, 1)
    store.close()


def test_a_class_that_others_use_stays(tmp_path):
    store = open_store(tmp_path, "run", [])
    classes(store, "a", 1, "class", name="cat")
    one(store, "b", 1, label(0, "cat", 0))
    assert isinstance(one(store, "a", 2), Refusal)
    assert store.labels() == {0: "cat"}
    store.close()


def test_a_name_that_was_given_up_can_be_given_again(tmp_path):
    store = open_store(tmp_path, "run", [])
    classes(store, "a", 1, "class", name="dog")
    one(store, "a", 2, label(0, "dog", 0))
    classes(store, "a", 3, "rename", name="cat", key="dog")
    new = classes(store, "a", 4, "class", name="dog").made
    assert (new.number, new.key) == (1, "dog #1")
    one(store, "a", 5, label(1, "dog #1", 0))
    assert store.labels() == {0: "cat", 1: "dog"}
    store.close()


def test_a_repeated_change_of_classes_writes_nothing(tmp_path):
    store = open_store(tmp_path, "run", [])
    first = classes(store, "a", 1, "class", name="cat")
    again = classes(store, "a", 1, "class", name="cat")
    assert (again.event, again.is_new, again.made, again.nothing) == (first.event, False, first.made, False)
    assert isinstance(classes(store, "a", 1, "class", name="dog"), Reused)
    store.close()


def test_classes_in_the_file_are_held_to_what_was_asked(tmp_path):
    store = open_store(tmp_path, "run", [])
    classes(store, "a", 1, "class", name="cat")
    store.close()
    with sqlite3.connect(tmp_path / store_file.NAME) as connection:
        connection.execute("DROP TRIGGER classes_stay")
        connection.execute("UPDATE classes SET name = 'cow', key = 'cow'")
    with pytest.raises(RunError, match="FL-C78"):
        open_store(tmp_path, "run", [])


def test_an_answer_of_a_class_that_there_is_not_is_damage(tmp_path):
    store = open_store(tmp_path, "run", ["cat"])
    one(store, "a", 1, label(0, "cow", 0))
    store.close()
    with pytest.raises(RunError, match="FL-C78 the answers are damaged \\(an answer of the class 'cow'"):
        open_store(tmp_path, "run", ["cat"])


NAMES = st.sampled_from(["cat", "dog", "cow"])
STEPS = st.tuples(CLIENTS, st.sampled_from(["class", "rename", "merge", "undo", "label", "none"]), NAMES, NAMES)


@settings(max_examples=size(40, 200, 2000), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEPS, max_size=25))
def test_whatever_is_done_to_classes_is_read_back_and_no_two_have_one_name(steps):
    folder = Path(tempfile.mkdtemp())
    store = open_store(folder, "run", ["cat"])
    store._connection.execute("PRAGMA synchronous = OFF")
    for seq, (client, action, name, other) in enumerate(steps):
        one_of, into = store.classes.find(name), store.classes.find(other)
        version = store.mark(seq % 4).version
        if action == "undo":
            one(store, client, seq)
        elif action == "none" or (action == "label" and one_of is None):
            one(store, client, seq, Answer(seq % 4, "none", None, version))
        elif action == "label":
            one(store, client, seq, label(seq % 4, one_of.key, version))
        else:
            keys = {"key": one_of.key if one_of else "?", "into": into.key if into else "?"}
            wanted = {"class": {"name": name}, "rename": {"name": other, "key": keys["key"]}, "merge": keys}
            classes(store, client, seq, action, **wanted[action])
        live = store.classes.live_names
        assert len(set(live)) == len(live)
        assert set(store.labels().values()) <= set(live)
    store.close()
    again = open_store(folder, "run", ["cat"])
    assert (again.classes, again.marks, again.numbers()) == (store.classes, store.marks, store.numbers())
    again.close()
    shutil.rmtree(folder)
