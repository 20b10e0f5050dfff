"""Croissant: what machines read of a data set (mlcommons.org/croissant, version 1.0).

Fields follow from the records, so that every column of every table is described. ``mlcroissant``
reads the tables offline: ``Dataset(jsonld="croissant.json").records("stems")``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from stemsmith.manifests.shards import FileColumn, schema_of
from stemsmith.render.corpus.card import CITATION, OTHER, UNKNOWN, CorpusFacts

__all__ = ["CROISSANT", "CroissantTable", "croissant"]

CROISSANT: Final = "croissant.json"
_CONTEXT: Final = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    **{
        name: f"cr:{name}"
        for name in (
            *("citeAs", "column", "equivalentProperty", "extract", "field", "fileProperty"),
            *("fileObject", "fileSet", "format", "includes", "isLiveDataset", "jsonPath", "key"),
            *("md5", "parentField", "path", "recordSet", "references", "regex", "repeated"),
            *("replace", "samplingRate", "separator", "source", "subField", "transform"),
        )
    },
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "rai": "http://mlcommons.org/croissant/RAI/",
    "sc": "https://schema.org/",
}
_TYPES: Final = {  # of Arrow's columns
    "string": "sc:Text",
    "int64": "sc:Integer",
    "int32": "sc:Integer",
    "uint8": "sc:Integer",
    "double": "sc:Float",
    "float": "sc:Float",
    "bool": "sc:Boolean",
}


class CroissantTable(NamedTuple):
    """One table of Parquet files.

    Attributes
    ----------
    name : str
        Name of the records.
    files : str
        Pattern of the files.
    record_type : type
        Type of the records.
    columns : sequence of FileColumn
        Columns that hold the content of files.
    title : str
        What a row is.
    """

    name: str
    files: str
    record_type: type
    columns: Sequence[FileColumn]
    title: str


def croissant(facts: CorpusFacts, title: str, tables: Sequence[CroissantTable]) -> str:
    """Return the metadata of a data set.

    Parameters
    ----------
    facts : CorpusFacts
        What the corpus has.
    title : str
        One sentence on what it is.
    tables : sequence of CroissantTable
        Its tables, none where they are not in Parquet.
    """
    content: dict[str, Any] = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "name": "stemsmith-corpus",
        "description": f"{title}. All audio is synthetic: MIDI, played by sampled instruments.",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "citeAs": " ".join(CITATION.split()),
        "version": "1.0.0",
        "distribution": [
            {
                "@type": "cr:FileSet",
                "@id": f"{table.name}-files",
                "name": f"{table.name}-files",
                "description": f"Parquet files: {table.title}",
                "encodingFormat": "application/x-parquet",
                "includes": table.files,
            }
            for table in tables
        ],
        "recordSet": [
            {
                "@type": "cr:RecordSet",
                "@id": table.name,
                "name": table.name,
                "description": table.title,
                "field": list(_fields(table)),
            }
            for table in tables
        ],
    }
    if facts.licence not in (UNKNOWN, OTHER):  # in words where it is several or unknown
        content["license"] = f"https://choosealicense.com/licenses/{facts.licence}/"
    else:
        content["license"] = "Several or unknown: see README.md, section Licences"
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _fields(table: CroissantTable) -> Iterator[dict[str, Any]]:
    for field in schema_of(table.record_type):
        yield _field(table, field.name, field.type)
    for column in table.columns:
        name = f"{table.name}/{column.name}"
        source = _source(table, column.name)
        if column.is_audio:
            source["transform"] = {"jsonPath": "bytes"}
        kind = "sc:AudioObject" if column.is_audio else "sc:Text"
        yield {**_named(name, column.name), "dataType": kind, "source": source}


def _field(table: CroissantTable, name: str, arrow_type: Any) -> dict[str, Any]:
    """Return the field of a column; of a list of records with a field of each of their members."""
    is_list = str(arrow_type).startswith("list<")
    item = arrow_type.value_type if is_list else arrow_type
    field = {**_named(f"{table.name}/{name}", name), **({"repeated": True} if is_list else {})}
    if not str(item).startswith("struct<"):
        return {**field, "dataType": _TYPES[str(item)], "source": _source(table, name)}
    members = (item.field(number) for number in range(item.num_fields))
    return {
        **field,
        "subField": [
            {
                **_named(f"{table.name}/{name}/{member.name}", member.name),
                "dataType": _TYPES[str(member.type)],
                "source": {**_source(table, name), "transform": {"jsonPath": member.name}},
            }
            for member in members
        ],
    }


def _named(identity: str, name: str) -> dict[str, Any]:
    return {"@type": "cr:Field", "@id": identity, "name": name}


def _source(table: CroissantTable, column: str) -> dict[str, Any]:
    return {"fileSet": {"@id": f"{table.name}-files"}, "extract": {"column": column}}
