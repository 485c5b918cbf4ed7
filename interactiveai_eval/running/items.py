"""Items as the run sees them: pulled lazily from any kind of data, read the same way whatever they are."""
from __future__ import annotations

from .._ids import is_in_shard, sha256_hex
from .._strict_json import to_attribute_text
from ..errors import ArgumentError, error_text, short_repr, type_name
from ..model import Value
from .schedule import END, AsyncSource, Source

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextvars import Context
    from typing import Any


class Item:
    """One item of the data: the caller's object and what the run reads from it.

    `id` is the data set's id of the item, the item's own "id", or 16 hexadecimal digits that depend on the input;
    `dataset_id` is None for local items. `missing` says why there is nothing to run on, or is None.
    """

    __slots__ = ("dataset_id", "expected_output", "given", "id", "input", "input_text", "metadata", "missing")

    def __init__(self, given: Any) -> None:
        self.given = given
        self.input: Any = None
        self.expected_output: Any = None
        self.metadata: Any = None
        self.missing: str | None = None
        self.dataset_id: str | None = None
        try:
            own_id = self._read(given)
            self.input_text = to_attribute_text(self.input)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            # The item's own code failed, whatever it raised: that is this item's failure.
            self.input = self.expected_output = self.metadata = own_id = self.dataset_id = None
            self.input_text = short_repr(given)
            self.missing = f"reading the item failed: {type_name(error)}: {error_text(error)}"
        if self.input is None and self.missing is None:
            self.missing = f"the item has no input: {short_repr(given)}"
        self.id: str = own_id or sha256_hex(self.input_text.encode("utf-8", "replace"))[:16]

    def _read(self, given: Any) -> str | None:
        """Take over what `given` says; its own id comes back, as text, or None."""
        if isinstance(given, dict):
            get = given.get
            self.input = get("input")
            self.expected_output = get("expected_output")
            self.metadata = get("metadata")
            own_id = get("id")
        else:
            by_key = hasattr(given, "keys") and hasattr(given, "__getitem__")
            for name in ("input", "expected_output", "metadata"):
                if by_key:
                    value = given[name] if name in given else None
                else:
                    value = getattr(given, name, None)
                setattr(self, name, value)
            own_id = getattr(given, "id", None)
            dataset_id = getattr(given, "dataset_id", None)
            if isinstance(dataset_id, str) and isinstance(own_id, str):
                self.dataset_id = dataset_id
        return str(own_id) if type(own_id) is int else own_id if isinstance(own_id, str) else None

    def key(self) -> str | None:
        """What stands for all that a task can see of the item, see `item_keys`; None when nothing does."""
        from .item_keys import key_of

        if self.missing is not None:
            return None
        if type(self.given) is dict:
            return key_of(self.given)
        read = (self.id, self.input, self.expected_output, self.metadata)
        # An item of a data set holds more than it says, and is known by its id.
        return key_of((self.dataset_id, *read) if self.dataset_id is not None else (self.given, *read))


class Work:
    """One item to be run once: its place in the data (from 0) and which repetition this is (from 0)."""

    __slots__ = ("index", "item", "repetition")

    def __init__(self, index: int, repetition: int, item: Item) -> None:
        self.index = index
        self.repetition = repetition
        self.item = item


class ItemSource(Source):
    """Work out of an iterable: every item (of the shard, if there is one) `repetitions` times in a row."""

    def __init__(self, data: Any, repetitions: int, context: Context, shard: tuple[int, int] | None) -> None:
        self._data = data
        self._items: Iterator[Any] | None = None
        self._context = context
        self._steps = _Steps(repetitions, shard)

    def take(self) -> Any:
        if self._items is None:  # only now: what `iter` does may take its time, too
            self._items = self._context.run(iter, self._data)
        work = self._steps.again() if self._steps.left else None
        while work is None:
            given = self._context.run(next, self._items, END)
            work = END if given is END else self._steps.first(given)
        return work


class AsyncItemSource(AsyncSource):
    """The same out of an async iterable."""

    def __init__(self, data: Any, repetitions: int, context: Context, shard: tuple[int, int] | None) -> None:
        self._data = data
        self._items: Any = None
        self.context = context
        self._steps = _Steps(repetitions, shard)

    async def take(self) -> Any:
        if self._items is None:
            self._items = self._data.__aiter__()
        work = self._steps.again() if self._steps.left else None
        while work is None:
            try:
                given = await self._items.__anext__()
            except StopAsyncIteration:
                return END
            work = self._steps.first(given)
        return work


class _Steps:
    """Counts items, those of other shards too, and repetitions."""

    def __init__(self, repetitions: int, shard: tuple[int, int] | None) -> None:
        self._repetitions = repetitions
        self._shard = shard
        self._index = -1
        self._item: Item | None = None
        self.left = 0  # repetitions of that which are still to come; without any, the next item is wanted

    def first(self, given: Any) -> Work | None:
        """The first run of the next item; None if that belongs to another shard."""
        self._index += 1
        item = self._item = Item(given)
        # What cannot be read may have another id in another process, but not another place.
        if self._shard is not None and not is_in_shard(str(self._index) if item.missing else item.id, self._shard):
            return None
        self.left = self._repetitions - 1
        return Work(self._index, 0, item)

    def again(self) -> Work:
        """The next repetition of the same item."""
        assert self._item is not None
        self.left -= 1
        return Work(self._index, self._repetitions - self.left - 1, self._item)


def item_source(
    data: Any, repetitions: int, context: Context, shard: tuple[int, int] | None = None
) -> ItemSource | AsyncItemSource:
    """The source for `data` that was checked; the data's own code runs in a copy of `context`."""
    context = context.copy()
    if hasattr(type(data), "__aiter__"):
        return AsyncItemSource(data, repetitions, context, shard)
    return ItemSource(data, repetitions, context, shard)


def check_data(data: Any) -> None:
    """Raise ArgumentError unless `data` is an iterable or async iterable of items."""
    fix = "must be an iterable of items such as [{'input': ...}], or a data set from client.get_dataset(...)"
    if data is None or isinstance(data, (str, bytes, bytearray, dict, Value)):
        raise ArgumentError("data", data, fix)
    if hasattr(type(data), "readline"):
        raise ArgumentError("data", data, "is an open file, not items; for JSON lines pass map(json.loads, file)")
    if not hasattr(type(data), "__aiter__") and not hasattr(type(data), "__iter__"):
        if not hasattr(type(data), "__getitem__"):
            raise ArgumentError("data", data, fix)


def length_of(data: Any) -> int | None:
    """How many items `data` has, if it tells."""
    try:
        return len(data)
    except KeyboardInterrupt:
        raise
    except BaseException:
        # It has no length, or its own code cannot tell: the run goes on without a total.
        return None
