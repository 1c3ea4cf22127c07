"""An answer is checked against its question, whatever has happened to the file."""

import asyncio
import random
import re
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from replay_proxy.cassette import Interaction
from replay_proxy.errors import CassetteDamaged
from replay_proxy.matching.rules import Rule
from replay_proxy.store import Store
from replay_proxy.store.files.access import open_to_write
from replay_proxy.store.files.pages import CHECKED_WHOLE_BYTES
from replay_proxy.store.sqlite.lookups import row_value
from replay_proxy.store.transaction import transaction
from tests.support.tape import make, recorded

PAGE = 4096
#: The first byte of a page of an index or a table: interior and leaf.
INDEX_PAGES, TABLE_PAGES = (0x02, 0x0A), (0x05, 0x0D)
#: How often it is damaged, how many requests are sent each time, and the seed of both.
DAMAGES, ASKED, SEED = 300, 12, 4


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Interaction]]:
    """A cassette that is not checked to its last page when it is opened."""
    everything = [recorded(f"question {n}", b"%d" % n * 2000) for n in range(1200)]
    path = make(tmp_path_factory.mktemp("large") / "default.sqlite", everything)
    assert path.stat().st_size > CHECKED_WHOLE_BYTES // 2
    blanks = [recorded(f"large {n}", b"x" * 2_000_000) for n in range(3)]
    make(path, blanks)
    assert path.stat().st_size > CHECKED_WHOLE_BYTES
    return path, everything


def damaged_page(whole: bytes, chances: random.Random) -> tuple[int, bytes]:
    """Where a page of an index or a table is, and what stands there instead."""
    kinds = chances.choice((INDEX_PAGES, INDEX_PAGES, TABLE_PAGES))
    pages = [
        at for at in range(PAGE, len(whole), PAGE) if whole[at] in kinds and whole[at + 1] < 16
    ]
    at = chances.choice(pages)
    page = bytearray(whole[at : at + PAGE])
    cells = min(int.from_bytes(page[3:5], "big"), PAGE // 4)
    first = 8 if page[0] in (0x0A, 0x0D) else 12
    pointers = [first + 2 * number for number in range(cells)]
    match chances.randrange(4):
        case 1 if cells:  # Two cells change places.
            one, two = chances.choice(pointers), chances.choice(pointers)
            page[one : one + 2], page[two : two + 2] = page[two : two + 2], page[one : one + 2]
        case 2:  # A page in another one's place, as after a torn write.
            other = chances.choice([each for each in pages if whole[each] == page[0]])
            page[:] = whole[other : other + PAGE]
        case 3 if cells:  # Bytes of a cell, which are a fingerprint and an id.
            pointer = chances.choice(pointers)
            start = int.from_bytes(page[pointer : pointer + 2], "big")
            for _ in range(3):
                page[min(PAGE - 1, start + chances.randrange(100))] ^= 1 << chances.randrange(8)
        case _:  # Some bytes, anywhere.
            for _ in range(chances.choice((1, 1, 2, 8))):
                page[chances.randrange(PAGE)] ^= 1 << chances.randrange(8)
    return at, bytes(page)


async def outcomes(
    directory: Path, asked: list[Interaction], rule: Rule
) -> list[Interaction | CassetteDamaged | None]:
    """What each request gets; of damage that is told at the opening, all that."""
    found: list[Interaction | CassetteDamaged | None] = []
    store = Store(directory, writable=False, rule=rule)
    try:
        tape = store.cassette("default")
        for each in asked:
            try:
                found.append(await tape.next_answer(rule.key(each.request)))
            except CassetteDamaged as error:
                found.append(error)
    except CassetteDamaged as error:
        return [error] * len(asked)
    finally:
        store.close()
    return found


@pytest.mark.parametrize("ignored", [(), ("$.model",)], ids=["exact", "a rule"])
def test_a_damaged_index_gives_no_request_the_answer_of_another(
    large: tuple[Path, list[Interaction]], ignored: tuple[str, ...]
) -> None:
    path, everything = large
    whole, chances, rule = path.read_bytes(), random.Random(SEED), Rule(ignored)
    told = right = 0
    for number in range(DAMAGES if rule.exact else DAMAGES // 10):
        at, page = damaged_page(whole, chances)
        put(path, at, page)
        asked = chances.sample(everything, ASKED)
        found = asyncio.run(outcomes(path.parent, asked, rule))
        put(path, at, whole[at : at + PAGE])
        for each, answer in zip(asked, found, strict=True):
            assert answer in (None, each) or isinstance(answer, CassetteDamaged), number
        told += sum(isinstance(answer, CassetteDamaged) for answer in found)
        right += sum(isinstance(answer, Interaction) for answer in found)
    assert told
    assert right > told


def test_an_index_that_leads_to_the_answer_of_another_request_is_damage(tmp_path: Path) -> None:
    one, other = recorded("one", b"1"), recorded("other", b"2")
    path = make(tmp_path / "default.sqlite", [one, other], [recorded("large", b"x" * 9_000_000)])
    assert path.stat().st_size > CHECKED_WHOLE_BYTES
    # An entry of the index ends with the id, once as a column and once as the row's number.
    entry = one.id.to_bytes(8, "big") * 2
    whole = path.read_bytes()
    assert whole.count(entry) == 1
    put(path, whole.index(entry), other.id.to_bytes(8, "big") * 2)
    found = asyncio.run(outcomes(tmp_path, [one, other], Rule()))
    assert isinstance(found[0], CassetteDamaged)
    assert f"its index leads to interaction {other.id} of another request" in found[0].message
    assert found[1] == other


def test_a_row_that_is_of_another_request_now_answers_that_one_under_a_rule(tmp_path: Path) -> None:
    """The rule's keys were made before; the file is recorded, so that it stays the same one."""
    one, two = recorded("one", b"1"), recorded("two", b"2")
    path = make(tmp_path / "default.sqlite", [one])
    replacing = replace(two, id=one.id)
    rule = Rule(("$.model",))
    with closing(open_to_write(path)):
        store = Store(tmp_path, writable=False, rule=rule)
        tape = store.cassette("default")
        assert asyncio.run(tape.next_answer(rule.key(one.request))) == one
        with transaction(path) as change:
            take = change.join_take(f"run {one.id}")
            change.delete(one.id)
            change.add(take, replacing)
        assert asyncio.run(tape.next_answer(rule.key(one.request))) is None
        assert asyncio.run(tape.next_answer(rule.key(two.request))) == replacing
        store.close()


def test_a_row_in_the_place_of_another_one_is_damage(tmp_path: Path) -> None:
    with pytest.raises(CassetteDamaged, match="interaction 7: another interaction is in its place"):
        row_value(tmp_path / "default.sqlite", dict, 7, [{"id": 8}])


def put(path: Path, at: int, page: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(page)


def test_a_row_that_the_index_hides_is_damage_and_no_miss(tmp_path: Path) -> None:
    one, other = recorded("one", b"1"), recorded("other", b"2")
    path = make(tmp_path / "default.sqlite", [one, other], [recorded("large", b"x" * 9_000_000)])
    whole = path.read_bytes()
    assert len(whole) > CHECKED_WHOLE_BYTES
    # The fingerprint stands in the row and in the index, which SQLite fills later.
    found = [each.start() for each in re.finditer(one.fingerprint.encode(), whole)]
    (at,) = [at for at in found if whole[at - at % PAGE] in INDEX_PAGES]
    put(path, at + 5, b"0000")
    store = Store(tmp_path, writable=False)
    tape = store.cassette("default")
    assert asyncio.run(tape.next_answer(other.fingerprint)) == other
    assert asyncio.run(tape.next_answer(one.fingerprint)) is None
    with pytest.raises(CassetteDamaged, match=f"its index hides interaction {one.id}"):
        asyncio.run(tape.near(one.request))
    assert asyncio.run(tape.near(recorded("one more", b"").request))
    store.close()
