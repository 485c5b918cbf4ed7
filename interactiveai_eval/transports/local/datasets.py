"""Data sets, their items, runs and run items (WIRE.md sections 2.3 to 2.5 and 9.2). Lists are newest first."""
from __future__ import annotations

from ..._ids import derived_id
from .exchange import PROJECT_ID, Page, invalid, missing, path_name, text_field
from .listing import page_of
from .wire_values import encode, ns_to_text, text_to_value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .exchange import Call

_JSON = frozenset(("input", "expectedOutput", "metadata", "inputSchema", "expectedOutputSchema", "mediaReferences"))


class _Noun:
    """One of the four: where its rows are, and which SQL gives which field of its JSON object."""

    def __init__(self, title: str, source: str, **fields: str) -> None:
        self._title = title
        self._source = source
        self._fields = tuple(fields)
        self._select = ", ".join(fields.values())
        self._order = f"{source[source.index(' ') + 1]}.number DESC"

    def one(self, connection: Any, where: str, *parameters: str | None) -> dict[str, Any]:
        """The JSON object of the row that is meant. Refuses if there is none."""
        sql = f"SELECT {self._select} FROM {self._source} WHERE {where}"
        row = connection.execute(sql, parameters).fetchone()
        if row is None:
            raise missing(self._title)
        return self._shown(row)

    def page(self, connection: Any, call: Call, where: str, *parameters: str | None) -> Page:
        """The requested page of what is meant."""
        source = f"{self._source} WHERE {where}"
        rows, page = page_of(connection, source, [*parameters], self._select, self._order, *call.page_and_limit())
        page.data = [self._shown(row) for row in rows]
        return page

    def all(self, connection: Any, where: str, *parameters: str) -> list[dict[str, Any]]:
        """Everything that is meant."""
        sql = f"SELECT {self._select} FROM {self._source} WHERE {where} ORDER BY {self._order}"
        return [self._shown(row) for row in connection.execute(sql, parameters)]

    def _shown(self, row: tuple[Any, ...]) -> dict[str, Any]:
        return {
            field: ns_to_text(value) if field.endswith("At") else text_to_value(value) if field in _JSON else value
            for field, value in zip(self._fields, row)
        }


_DATASET = _Noun(
    "Dataset", "datasets d", id="d.id", name="d.name", description="d.description", metadata="d.metadata",
    inputSchema="d.input_schema", expectedOutputSchema="d.expected_output_schema", projectId=f"'{PROJECT_ID}'",
    createdAt="d.created_ns", updatedAt="d.updated_ns",
)  # fmt: skip
_ITEM = _Noun(
    "Dataset item", "dataset_items i JOIN datasets d ON d.id = i.dataset_id", id="i.id",
    status="coalesce(i.status, 'ACTIVE')", input="i.input", expectedOutput="i.expected_output", metadata="i.metadata",
    sourceTraceId="i.source_trace_id", sourceObservationId="i.source_observation_id", datasetId="i.dataset_id",
    datasetName="d.name", createdAt="i.created_ns", updatedAt="i.updated_ns", mediaReferences="'[]'",
)  # fmt: skip
_RUN = _Noun(
    "Dataset run", "dataset_runs r JOIN datasets d ON d.id = r.dataset_id", id="r.id", name="r.name",
    description="r.description", metadata="r.metadata", datasetId="r.dataset_id", datasetName="d.name",
    createdAt="r.created_ns", updatedAt="r.updated_ns",
)  # fmt: skip
_RUN_ITEM = _Noun(
    "Dataset run item", "dataset_run_items x JOIN dataset_runs r ON r.id = x.run_id", id="x.id",
    datasetRunId="x.run_id", datasetRunName="r.name", datasetItemId="x.item_id", traceId="x.trace_id",
    observationId="x.observation_id", createdAt="x.created_ns", updatedAt="x.updated_ns",
)  # fmt: skip


def _upsert(connection: Any, table: str, key: str, now_ns: int, **values: str | None) -> None:
    """Insert a row, or change the one with the same `key`; what is None keeps its old value, and so does the id."""
    columns = (*values, "created_ns", "updated_ns")
    changes = [f"{column} = coalesce(excluded.{column}, {column})" for column in values if column != "id"]
    connection.execute(
        f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))}) "
        f"ON CONFLICT ({key}) DO UPDATE SET {', '.join(changes)}, updated_ns = excluded.updated_ns",
        (*values.values(), now_ns, now_ns),
    )


def list_datasets(call: Call) -> Page:
    """GET v2/datasets."""
    with call.store.database.read() as connection:
        return _DATASET.page(connection, call, "1")


def get_dataset(call: Call) -> dict[str, Any]:
    """GET v2/datasets/{name}."""
    with call.store.database.read() as connection:
        return _DATASET.one(connection, "d.name = ?", call.names[0])


def put_dataset(call: Call) -> dict[str, Any]:
    """POST v2/datasets: made, or changed where there is one of that name; missing and null fields stay."""
    fields = call.fields()
    name = path_name(text_field(fields, "name"), "name")
    description = text_field(fields, "description")
    metadata, schema, expected = [_json(fields.get(key)) for key in ("metadata", "inputSchema", "expectedOutputSchema")]
    with call.store.database.write() as connection:
        _upsert(
            connection, "datasets", "name", call.store.now_ns(), id=call.store.ids.trace_id(), name=name,
            description=description, metadata=metadata, input_schema=schema, expected_output_schema=expected,
        )  # fmt: skip
        return _DATASET.one(connection, "d.name = ?", name)


def list_items(call: Call) -> Page:
    """GET dataset-items: archived ones only with `includeArchived=true`, which is an extension of ours."""
    dataset_name, trace_id = call.one("datasetName"), call.one("sourceTraceId")
    where = "1" if call.one("includeArchived") == "true" else "i.status IS NOT 'ARCHIVED'"
    parameters = []
    for column, value in (
        ("d.name", dataset_name),
        ("i.source_trace_id", trace_id),
        ("i.source_observation_id", call.one("sourceObservationId")),
    ):
        if value is not None:
            where += f" AND {column} = ?"
            parameters.append(value)
    with call.store.database.read() as connection:
        if dataset_name is not None:
            _DATASET.one(connection, "d.name = ?", dataset_name)
        return _ITEM.page(connection, call, where, *parameters)


def get_item(call: Call) -> dict[str, Any]:
    """GET dataset-items/{id}: also an archived one."""
    with call.store.database.read() as connection:
        return _ITEM.one(connection, "i.id = ?", call.names[0])


def put_item(call: Call) -> dict[str, Any]:
    """POST dataset-items: made, or changed where there is one of that id; missing and null fields stay."""
    fields = call.fields()
    dataset_name = text_field(fields, "datasetName", needed=True)
    item_id = text_field(fields, "id") or call.store.ids.trace_id()
    status = text_field(fields, "status")
    if status not in (None, "ACTIVE", "ARCHIVED"):
        raise invalid("Invalid option: expected ACTIVE or ARCHIVED", "status", code="invalid_value")
    values = [fields.get(key) for key in ("input", "expectedOutput", "metadata")]
    # Texts that look like JSON change their type here, on the way in.
    given, expected, metadata = [_json(text_to_value(each) if type(each) is str else each) for each in values]
    trace_id, observation_id = text_field(fields, "sourceTraceId"), text_field(fields, "sourceObservationId")
    with call.store.database.write() as connection:
        dataset_id = _DATASET.one(connection, "d.name = ?", dataset_name)["id"]
        owner = connection.execute("SELECT dataset_id FROM dataset_items WHERE id = ?", (item_id,)).fetchone()
        if owner not in (None, (dataset_id,)):
            raise missing("Dataset item of this id in this dataset")
        _upsert(
            connection, "dataset_items", "id", call.store.now_ns(), id=item_id, dataset_id=dataset_id, status=status,
            input=given, expected_output=expected, metadata=metadata, source_trace_id=trace_id,
            source_observation_id=observation_id,
        )  # fmt: skip
        return _ITEM.one(connection, "i.id = ?", item_id)


def delete_item(call: Call) -> dict[str, Any]:
    """DELETE dataset-items/{id}."""
    with call.store.database.write() as connection:
        item = _ITEM.one(connection, "i.id = ?", call.names[0])
        connection.execute("DELETE FROM dataset_items WHERE id = ?", (item["id"],))
    return {"message": "Dataset item successfully deleted"}


def list_runs(call: Call) -> Page:
    """GET datasets/{name}/runs."""
    with call.store.database.read() as connection:
        _DATASET.one(connection, "d.name = ?", call.names[0])
        return _RUN.page(connection, call, "d.name = ?", call.names[0])


def get_run(call: Call) -> dict[str, Any]:
    """GET datasets/{name}/runs/{run}: in the public dialect with its items."""
    with call.store.database.read() as connection:
        run = _RUN.one(connection, "d.name = ? AND r.name = ?", *call.names)
        if call.platform:
            return run
        return {**run, "datasetRunItems": _RUN_ITEM.all(connection, "x.run_id = ?", run["id"])}


def delete_run(call: Call) -> dict[str, Any]:
    """DELETE datasets/{name}/runs/{run}: with its items and scores; traces stay.

    Its id follows from its name, so scores that stayed would come back with the next run of that name.
    """
    with call.store.database.write() as connection:
        run = _RUN.one(connection, "d.name = ? AND r.name = ?", *call.names)
        connection.execute("DELETE FROM dataset_run_items WHERE run_id = ?", (run["id"],))
        connection.execute("DELETE FROM scores WHERE run_id = ?", (run["id"],))
        connection.execute("DELETE FROM dataset_runs WHERE id = ?", (run["id"],))
    return {"message": "Dataset run successfully deleted"}


def put_run_item(call: Call) -> dict[str, Any]:
    """POST dataset-run-items: the run is made at the first use of its name; one row for each item, the latest."""
    fields = call.fields()
    run_name = path_name(text_field(fields, "runName"), "runName")
    item_id = text_field(fields, "datasetItemId", needed=True)
    description, metadata = text_field(fields, "runDescription"), _json(fields.get("metadata"))
    trace_id, observation_id = text_field(fields, "traceId"), text_field(fields, "observationId")
    if not trace_id and not observation_id:
        raise invalid("observationId or traceId must be provided", "traceId")
    now_ns = call.store.now_ns()
    with call.store.database.write() as connection:
        item = _ITEM.one(connection, "i.id = ? AND i.status IS NOT 'ARCHIVED'", item_id)
        if not trace_id:
            found = connection.execute("SELECT trace_id FROM observations WHERE id = ?", (observation_id,)).fetchone()
            if found is None or found[0] is None:
                raise missing("Observation")
            trace_id = str(found[0])
        run_id = derived_id(item["datasetId"], run_name)
        _upsert(
            connection, "dataset_runs", "id", now_ns, id=run_id, dataset_id=item["datasetId"], name=run_name,
            description=description, metadata=metadata,
        )  # fmt: skip
        # Derived, so that a request that is sent twice is answered alike.
        run_item_id = derived_id(run_id, item["id"], trace_id, observation_id or "")[:32]
        connection.execute(
            "INSERT OR REPLACE INTO dataset_run_items "
            "(run_id, item_id, id, trace_id, observation_id, created_ns, updated_ns) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (run_id, item["id"], run_item_id, trace_id, observation_id, now_ns, now_ns),
        )
        return _RUN_ITEM.one(connection, "x.run_id = ? AND x.item_id = ?", run_id, item["id"])


def list_run_items(call: Call) -> Page:
    """GET dataset-run-items: of one run. The data set is named by its id, in the platform dialect also by its name."""
    run_name, dataset = call.one("runName"), call.one("datasetId")
    column = "r.dataset_id"
    if not dataset and call.platform:
        column, dataset = "d.name", call.one("datasetName")
    if not run_name or not dataset:
        raise invalid("Invalid input: datasetId and runName are needed", "datasetId", code="invalid_type")
    with call.store.database.read() as connection:
        run = _RUN.one(connection, f"{column} = ? AND r.name = ?", dataset, run_name)
        return _RUN_ITEM.page(connection, call, "x.run_id = ?", run["id"])


def _json(value: Any) -> str | None:
    return None if value is None else encode(value)
