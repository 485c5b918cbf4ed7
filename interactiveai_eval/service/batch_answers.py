"""What a server says of a batch of ingestion events, in the forms that old servers and new ones have for it.

`successes` and `errors`, rows that name events; `accepted` and `rejected`, figures, with `errors`; or a list of one row
an event.
"""
from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    Row = Mapping[str, Any]


def read_batch_answer(answer: Any, ids: Sequence[str]) -> tuple[dict[str, Row], list[Row]]:
    """Refusals by the id of their event, and those of which there is a figure alone; all other events were taken.

    `ids` are those of the events that were sent, in order. An object that has none of these forms takes them all.
    Raises ValueError when it cannot be told what became of some, or when it is about an event that was not sent.
    """
    sent = dict.fromkeys(ids)
    order = list(sent)
    refused: dict[str, Row] = {}
    nameless: list[Row] = []
    taken: set[str | None] = set()
    rows: list[tuple[Any, int | None, bool]]
    if isinstance(answer, list):
        rows = [(row, place, _is_refusal(row)) for place, row in enumerate(answer)]
        accepted = rejected = None
    else:
        rows = [(row, None, True) for name in ("errors", "rejected") for row in _rows(answer.get(name))]
        rows += [(row, None, False) for row in _rows(answer.get("successes"))]
        accepted, rejected = (_figure(answer.get(name)) for name in ("accepted", "rejected"))
    for row, place, is_refusal in rows:
        id = _id_in(row, sent, order, place)
        told = row if isinstance(row, dict) else {"message": row}
        if not is_refusal:
            taken.add(id)
        elif id is None:
            nameless.append(told)
        else:
            refused[id] = told
    if nameless and accepted is None and rejected is None:
        raise ValueError(f"the answer does not say which of {len(sent)} events it refuses")
    if rejected is not None:
        nameless += [{}] * (min(rejected, len(sent)) - len(refused) - len(nameless))
    del nameless[len(sent) - len(refused) :]
    left = len(sent) - len(refused) - len(nameless)
    said = max(accepted or 0, len(taken - {None, *refused}))
    if said < left and (taken or accepted is not None or isinstance(answer, list)):
        raise ValueError(f"the answer does not say what became of {left - said} of {len(sent)} events")
    return refused, nameless


def _rows(part: Any) -> list[Any]:
    """The rows of a part of an answer, which may also be an object with what is said by id."""
    if isinstance(part, dict):
        return [{**(told if isinstance(told, dict) else {"message": told}), "id": id} for id, told in part.items()]
    return part if isinstance(part, list) else []


def _figure(part: Any) -> int | None:
    return part if type(part) is int and part >= 0 else None


def _is_refusal(row: Any) -> bool:
    return isinstance(row, dict) and (bool(row.get("error")) or (_figure(row.get("status")) or 0) >= 300)


def _id_in(row: Any, sent: Mapping[str, None], order: Sequence[str], place: int | None) -> str | None:
    """The id of the event that a row is about: named, or by its place in the batch, or that of the row."""
    if isinstance(row, dict):
        if isinstance(row.get("id"), str):
            if row["id"] not in sent:
                raise ValueError(f"the answer is about an event that was not sent, {row['id'][:80]!r}")
            found: str = row["id"]
            return found
        place = row.get("index", place)
    elif isinstance(row, str) and row in sent:
        return row
    return order[place] if type(place) is int and 0 <= place < len(order) else None
