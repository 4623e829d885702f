"""The card of the data set: which tables there are, what their columns mean, how to check them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import PurePosixPath
from typing import Any

import jinja2
import yaml  # type: ignore[import-untyped]

from audit.publish.bundle.tables import COLUMNS
from audit.publish.card import verdict_line
from audit.publish.card.text import plain
from audit.report import Report

__all__ = ["dataset_card"]

SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"),
         (10_000_000, "1M<n<10M"))  # fmt: skip


@dataclass(frozen=True)
class _Table:
    path: str
    rows: int
    columns: list[str]


def dataset_card(report: Report, to: str, files: Mapping[str, bytes]) -> str:
    """Write the card of an audit's data set.

    Parameters
    ----------
    report : Report
        As it is published.
    to : str
        ``owner/name`` of the model.
    files : mapping of str to bytes
        Of the data set; each table becomes a configuration, called as its file is.

    Returns
    -------
    str
        Markdown with front matter (https://huggingface.co/docs/hub/datasets-cards), so that
        ``load_dataset("owner/name-audit", "bias")`` reads one table.
    """
    tables = {
        PurePosixPath(name).stem: _read(name, content) for name, content in files.items() if name.endswith(".parquet")
    }
    front = yaml.safe_dump(_front(report, to, tables), sort_keys=False, allow_unicode=True, width=10**6)
    used = {column for table in tables.values() for column in table.columns}
    return _template().render(
        report=report,
        to=to,
        front=front,
        line=verdict_line(report.findings, report.broken),
        tables=tables,
        columns={name: meaning for name, meaning in COLUMNS.items() if name in used},
        policy=report.provenance.evidence,
    )


def _front(report: Report, to: str, tables: Mapping[str, _Table]) -> dict[str, Any]:
    front: dict[str, Any] = {"pretty_name": f"Audit of {to}"}
    if report.adapted.license:
        front["license"] = report.adapted.license
    if report.adapted.language:
        front["language"] = list(report.adapted.language)
    front["tags"] = ["transfer-audit", "model-audit", "evaluation"]
    if not tables:
        return front | {"viewer": False}
    rows = sum(one.rows for one in tables.values())
    front["size_categories"] = [next((name for most, name in SIZES if rows < most), "n>10M")]
    front["configs"] = [{"config_name": name, "data_files": one.path} for name, one in tables.items()]
    front["configs"][0]["default"] = True
    return front


def _read(name: str, content: bytes) -> _Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    read = pq.ParquetFile(pa.BufferReader(content))
    return _Table(name, read.metadata.num_rows, list(read.schema_arrow.names))


@cache
def _template() -> jinja2.Template:
    source = (resources.files("audit.publish.bundle") / "dataset.md.jinja").read_text(encoding="utf-8")
    # autoescape is HTML's; Markdown is escaped by `plain`, which the template applies to every text
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(plain=plain)
    return environment.from_string(source)
