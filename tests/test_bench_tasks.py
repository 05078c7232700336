"""The tasks of a run on many workers, without Ray: all of it is done, each part once, in an order that works."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from running import DATA, one_sentence, voxveil_here
from tiny import tiny_card

from voxveil.bench.cluster import Cluster, _answers, _check_room
from voxveil.bench.grid import Grid
from voxveil.bench.hands import Hands, InHand
from voxveil.bench.kept_audio import KeptAudio
from voxveil.bench.run import Cell, cells_of
from voxveil.bench.scenario import Part
from voxveil.bench.speech import Speech, read_speech
from voxveil.bench.tasks import Task, next_task, tasks_of
from voxveil.bench.worker import Worker
from voxveil.errors import VoxveilError

NONE = Part("none")


@pytest.fixture
def grid(tmp_path: Path) -> Grid:
    (tmp_path / "tiny").mkdir()
    card = str(tiny_card(tmp_path / "tiny"))
    parts = {
        "protection": (Part("veil", (("against", (card,)), ("effort", "fast"), ("strength", "light"))),),
        "channel": (Part("telephone"),),
        "purification": (NONE, Part("resample")),
        "cloner": (Part("knn-vc"),),
        "verifier": (Part(card), Part("XV-COS")),
    }
    return Grid("small", DATA, parts, speakers=2, references=1, contents=1, clip_s=2.0)


def _tasks(grid: Grid) -> tuple[Speech, list[Cell], list[Task]]:
    speech = read_speech(grid, DATA)
    cells = cells_of(grid, speech)
    return speech, cells, tasks_of(cells, speech.slice, grid.seed)


def _order(tasks: list[Task]) -> list[Task]:
    """The order in which one worker does them."""
    waiting, done, order = {task.key: task for task in tasks}, set[str](), list[Task]()
    while waiting:
        task = next_task(waiting.values(), done, order[-1].chain if order else ())
        assert task is not None and set(task.before) <= done
        order.append(waiting.pop(task.key))
        done.add(task.key)
    return order


def test_every_cell_is_in_one_task_and_every_chain_is_a_task_once(grid: Grid) -> None:
    _, cells, tasks = _tasks(grid)
    assert sorted(cell.key for task in tasks for cell in task.cells) == sorted(cell.key for cell in cells)
    assert len(cells) == 16 and len({task.key for task in tasks}) == len({task.chain for task in tasks}) == len(tasks)
    # 4 protections: each protected (but the clean speech), over the telephone, resampled, and cloned with and without.
    assert len(tasks) == 3 + 4 * (1 + 1 + 2)
    assert all(cell.audio == task.key for task in tasks for cell in task.cells)


def test_protections_come_first_and_then_what_shares_them(grid: Grid) -> None:
    order = _order(_tasks(grid)[2])
    firsts = [len(task.chain) for task in order]
    assert firsts[:3] == [1, 1, 1] and min(firsts[3:]) > 1
    names = [task.chain[0] for task in order[3:]]
    assert [name for name, after in zip(names, [*names[1:], None], strict=True) if name != after] == list(
        dict.fromkeys(names)
    )


def test_a_worker_goes_on_with_the_protection_that_it_knows(grid: Grid) -> None:
    tasks = [task for task in _tasks(grid)[2] if len(task.chain) == 2]
    done = {key for task in tasks for key in task.before}
    assert len(tasks) == 4 and all(next_task(tasks, done, task.chain) == task for task in tasks)


def test_nothing_is_ready_while_what_it_needs_is_being_made(grid: Grid) -> None:
    tasks = _tasks(grid)[2]
    noise = next(task for task in tasks if task.chain[0].name.startswith("noise") and len(task.chain) == 1)
    veil = next(task for task in tasks if task.chain[0].name == "veil" and len(task.chain) == 1)
    assert noise.before == (veil.key,)
    assert next_task([noise], set(), ()) is None and next_task([noise], {veil.key}, ()) == noise


def test_two_pairs_of_hands_make_everything_once_and_find_what_one_worker_finds(grid: Grid, tmp_path: Path) -> None:
    speech, cells, tasks = _tasks(grid)
    known = InHand()
    hands = [Hands(speech, grid.seed, "cpu") for _ in range(2)]
    rows = {}
    for index, task in enumerate(_order(tasks)):
        wanted = {key: known.made[key] for key in task.before}
        answer = hands[index % 2].work(task, wanted)
        assert not set(answer.made) & set(known.made)
        known.made.update(answer.made)
        rows.update({one.cell.key: one.rows for one in answer.finished if one.cell is not None})
        assert all(one.seconds > 0 for one in answer.finished)
    alone = Worker(speech, grid.seed, "cpu", KeptAudio(tmp_path / "audio"))
    assert rows == {cell.key: alone.rows(cell.parts) for cell in cells}


def test_a_worker_of_another_version_is_turned_away(grid: Grid) -> None:
    with pytest.raises(VoxveilError, match="install one version everywhere"):
        Hands(read_speech(grid, DATA), 0, "cpu").ready("0.0.0")


def test_a_cluster_without_room_is_named() -> None:
    _check_room({"CPU": 2.0}, 2, "cpu")
    with pytest.raises(VoxveilError, match="has 2 CPUs, and 3 workers want one each"):
        _check_room({"CPU": 2.0}, 3, "cpu")
    with pytest.raises(VoxveilError, match="has 0 GPUs, and 1 workers"):
        _check_room({"CPU": 2.0}, 1, "cuda")


def test_places_that_are_none_do_not_answer() -> None:
    assert not any(map(_answers, ("nowhere", "127.0.0.1:1", "127.0.0.1:99999", "127.0.0.1:x", "")))


def test_no_work_needs_no_cluster(grid: Grid) -> None:
    worker = Worker(read_speech(grid, DATA), 0, "cpu", InHand())
    assert list(Cluster(2, "127.0.0.1:1")(worker, [], print)) == []


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (("--workers", 2), 6, "needs the extra 'cluster'"),
        (("--address", "127.0.0.1:1"), 1, "add --workers N to --address"),
    ],
)
def test_the_command_says_what_is_missing(
    words: tuple[object, ...],
    code: int,
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    file = tmp_path / "g.toml"
    file.write_text(f'corpus = "{DATA}"\nspeakers = 2\nreferences = 1\nclip_s = 2\n[parts]\nverifier = ["XV-COS"]\n')
    ended = voxveil_here(monkeypatch, capsys, "bench", "run", file, "-o", tmp_path / "r", *words)
    assert ended.code == code and sentence in ended.err and one_sentence(ended.err)
