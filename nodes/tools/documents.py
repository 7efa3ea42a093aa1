"""Search in documents, for the model: passages with ids to cite.

The text lists the passages as ``[guide.md#3] Headings`` and the passage below; the artifact, which the model does not
see, is a list of ``{"id", "text", "source", "heading"}`` in the same order.
"""

import re
from pathlib import Path
from typing import Any

from langchain_core.tools import BaseTool, StructuredTool

from ..traits import with_traits
from .document_index import Indexed, Passage, check_index, index_documents, search_documents

__all__ = ["Indexed", "index_documents", "make_document_search"]


def make_document_search(path: str | Path, *, results: int = 5) -> BaseTool:
    """The tool ``search(query)`` over the index at ``path`` (see ``index_documents``), which it only reads.

    Raises:
        BadIndex: there is no index at ``path``.
    """
    check_index(path)

    def search(query: str) -> tuple[str, list[dict[str, Any]]]:
        """Search the documents for passages with the words of the query. Cite a passage by its id, as [guide.md#3]."""
        found = search_documents(path, query, results)
        return _listed(query, found), [
            {"id": one.id, "text": one.text, "source": one.source, "heading": one.heading} for one in found
        ]

    return with_traits(
        StructuredTool.from_function(search, response_format="content_and_artifact"), acts=False, idempotent=True
    )


def _listed(query: str, passages: list[Passage]) -> str:
    if not passages:
        return f"no passage has any of the words {query[:200]!r}; try others, such as synonyms or shorter forms"
    return "\n\n".join(f"{' '.join([f'[{one.id}]', *one.heading.split()])}\n{_not_ids(one.text)}" for one in passages)


def _not_ids(text: str) -> str:
    """``text``, no line of which looks like the beginning of another passage."""
    return re.sub(r"(?:^|(?<=[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]))(?=\s*\[[^\]\n]*#\d+\])", r"\\", text)
