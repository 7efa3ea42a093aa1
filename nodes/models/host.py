"""The versions of one model in this process, and the one thread that decodes for all of them.

A new version is loaded beside those that answer; taking it over is moving a name. Answers in flight
are finished by the weights that began them. Versions not used lately are let go and opened again
from their source when somebody asks for them.
"""

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ...errors import BadModelSpec, UnknownVersion
from .decoding.decode import Decoder, DecodeThread
from .decoding.probe import shares_columns, trace_columns
from .families.family import Family
from .loaded import Loaded, open_version
from .render import Renderer

if TYPE_CHECKING:
    from .grammar import GrammarMaker


@dataclass(eq=False)
class Voice:
    """A loaded version as it answers."""

    loaded: Loaded
    renderer: Renderer
    decoder: Decoder
    common_columns: bool

    @cached_property
    def grammar(self) -> "GrammarMaker":
        """Makes the constraints of its answers."""
        from .grammar import GrammarMaker  # xgrammar is an extra, and takes a while to import

        vocabulary = self.loaded.model.get_output_embeddings().weight.shape[0]
        return GrammarMaker(self.loaded.tokenizer, vocabulary, self.decoder.end_ids)


@dataclass(frozen=True)
class Serving:
    """How a model is served; the same for all its versions."""

    device: str | None = None
    """None: a GPU if there is one."""
    dtype: str | None = None
    """None: float32 on a CPU, as saved on a GPU."""
    family: Family | None = None
    """How the model speaks; None finds out from the chat template."""
    chat_template_kwargs: Mapping[str, Any] | None = None
    """Given to the chat template, such as ``{"enable_thinking": False}``."""
    max_rows: int = 64
    """Answers decoded at once."""
    max_waiting: int = 4096
    """Requests that may wait for a row."""
    kept_bytes: int = 1 << 30
    """Room for keys and values kept between turns."""
    keep_versions: int = 3
    """Versions held in memory when nothing of theirs is in flight."""


class Host:
    """Holds versions and opens new ones; all its methods may be called from any thread."""

    def __init__(self, first: Loaded, serving: Serving) -> None:
        self.serving = serving
        self.thread = DecodeThread()
        self._lock = threading.Lock()
        self._loading = threading.Lock()
        self._voices: OrderedDict[str, Voice] = OrderedDict()
        self._sources = {first.version: first.source}
        self.current = first.version
        """The version that answers new calls."""
        self.is_closed = False
        self._add(first)

    @property
    def versions(self) -> tuple[str, ...]:
        """Versions in memory, the longest unused first."""
        with self._lock:
            return tuple(self._voices)

    def voice(self, version: str | None = None) -> Voice:
        """Who answers as ``version``; None is the current one. Opened again if it was let go.

        Raises:
            UnknownVersion: this model never had it.
            BadModelFolder: it cannot be opened any more.
        """
        with self._lock:
            self._refuse_closed()
            version = version or self.current
            found = self._voices.get(version)
            if found is not None:
                self._voices.move_to_end(version)
                return found
        with self._loading:
            with self._lock:  # it may be dropped while others load
                source = self._sources.get(version)
                if source is None:
                    raise UnknownVersion(
                        f"this model has no version {version!r}; it has {', '.join(self._sources)}; give it with take()"
                    )
            voice = self._open(version, source)
            with self._lock:
                if version not in self._sources:  # dropped meanwhile: this call is its last
                    self._voices.pop(version, None)
            return voice

    def take(self, version: str, source: str) -> None:
        """Load ``version`` from ``source`` beside the others, then answer new calls with it.

        Raises:
            BadModelFolder: it cannot be loaded; whoever answered before still does.
            BadModelSpec: the version is known, from another source.
        """
        with self._loading:
            self._refuse_closed()
            known = self._sources.get(version, source)
            if known != source:
                raise BadModelSpec(
                    f"the version {version!r} was taken from {known!r} before, now from {source!r}; "
                    "a version never changes, give other weights another name"
                )
            self._open(version, source)
            with self._lock:
                self._sources[version] = source
                self.current = version
            self._trim()

    def drop(self, version: str) -> None:
        """Forget ``version``; its answers in flight are still finished.

        Raises:
            UnknownVersion: this model doesn't have it, or it is the current one.
        """
        with self._lock:
            if version == self.current:
                raise UnknownVersion(f"{version!r} is the version that answers; take() another one first")
            if self._sources.pop(version, None) is None:
                raise UnknownVersion(f"this model has no version {version!r}; it has {', '.join(self._sources)}")
            self._voices.pop(version, None)

    def let_go(self, version: str) -> None:
        """Free the weights of ``version`` when its answers in flight are finished; asked for again, it is opened again.

        The current version, and one that was made in memory, are kept.
        """
        with self._lock:
            self._let_go(version)

    def close(self) -> None:
        """Stop the decode thread and free all weights; answers in flight fail with a clear error."""
        self.is_closed = True
        self.thread.close()
        with self._lock:
            self._voices.clear()

    def __deepcopy__(self, memo: Any) -> "Host":
        """Copies of a model share what is in memory."""
        return self

    def __reduce__(self) -> Any:
        raise TypeError("a model in memory cannot be pickled; open it by its folder in the other process")

    def _refuse_closed(self) -> None:
        if self.is_closed:
            raise RuntimeError("this model is closed; open it again to use it")

    def _open(self, version: str, source: str) -> Voice:
        with self._lock:
            self._refuse_closed()
            found = self._voices.get(version)
            beside = self._voices[next(reversed(self._voices))]
        if found is not None:
            return found
        loaded = open_version(
            version, source, device=self.serving.device, dtype=self.serving.dtype, beside=beside.loaded
        )
        return self._add(loaded, beside)

    def _add(self, loaded: Loaded, beside: Voice | None = None) -> Voice:
        alike = beside is not None and loaded.base is not None and beside.loaded.base is loaded.base
        common_columns = beside.common_columns if beside is not None and alike else shares_columns(loaded.model)
        renderer = Renderer(loaded.tokenizer, self.serving.family, self.serving.chat_template_kwargs)
        closing = {loaded.tokenizer.convert_tokens_to_ids(end) for end in renderer.ends_of_turn}
        decoder = Decoder(
            loaded.model,
            loaded.end_ids | closing,
            thread=self.thread,
            max_rows=self.serving.max_rows,
            max_waiting=self.serving.max_waiting,
            kept_bytes=self.serving.kept_bytes,
            common_columns=common_columns,
            traced=trace_columns(loaded.model) if common_columns else None,
        )
        voice = Voice(loaded, renderer, decoder, common_columns)
        with self._lock:
            self._voices[loaded.version] = voice
        self._trim()
        return voice

    def _trim(self) -> None:
        with self._lock:
            for version in list(self._voices):
                if len(self._voices) <= self.serving.keep_versions:
                    return
                self._let_go(version)

    def _let_go(self, version: str) -> None:
        voice = self._voices.get(version)
        if voice is not None and version != self.current and voice.loaded.base is not None:  # else nothing to reopen
            del self._voices[version]
