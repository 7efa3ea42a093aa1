"""Our savers pass LangGraph's own conformance suite, for every capability that they claim."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

from langgraph.checkpoint.conformance import checkpointer_test, validate
from threadmill.checkpoints.store import open_store

CLAIMED = {"put", "put_writes", "get_tuple", "list", "delete_thread", "copy_thread", "prune"}


def test_the_saver_passes_the_conformance_suite(url: str) -> None:
    @checkpointer_test(name="threadmill")
    async def saver() -> AsyncGenerator[Any, None]:
        async with open_store(url) as store:
            yield store.saver

    report = asyncio.run(validate(saver))
    assert {name for name, result in report.results.items() if result.detected} == CLAIMED
    failures = {name: result.failures for name, result in report.results.items() if result.failures}
    assert failures == {}
    assert sum(result.tests_passed for result in report.results.values()) > 50
