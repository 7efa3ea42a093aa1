"""The errors Threadmill raises on purpose: each shows the value seen and the next step."""


class ThreadmillError(Exception):
    """Root of every error that Threadmill raises on purpose."""

    def __str__(self) -> str:  # KeyError would show the repr of the message
        return str(self.args[0]) if self.args else ""


class BadDatabase(ThreadmillError, ValueError):
    """The database URL or file cannot be used."""


class UnknownType(ThreadmillError, TypeError):
    """A checkpoint holds a type that is not on the allow-list."""


class BadKey(ThreadmillError, ValueError):
    """The encryption key is missing, malformed or the wrong one."""


class ReadOnly(ThreadmillError, PermissionError):
    """Something was to be written to a database that was opened to be read."""


class UnknownThread(ThreadmillError, KeyError):
    """No thread, or no checkpoint of it, has this id."""


class UnknownTool(ThreadmillError, KeyError):
    """A tool name that the agent does not bind."""


class UnknownNode(ThreadmillError, KeyError):
    """A node or an edge that a graph does not have."""


class UnknownSlot(ThreadmillError, KeyError):
    """A slot that no agent or registry entry has."""


class UnknownVersion(ThreadmillError, KeyError):
    """A version or alias that the registry does not hold."""


class PromotionConflict(ThreadmillError, RuntimeError):
    """An alias that somebody else moved between the decision to move it and the move."""


class BadName(ThreadmillError, ValueError):
    """A name that a slot or an alias cannot have."""


class UnknownSuite(ThreadmillError, KeyError):
    """A suite or agent name that is not built in and cannot be found."""


class BadSpec(ThreadmillError, ValueError):
    """A description of an agent that cannot be read, or of which no agent can be built."""


class CannotServe(ThreadmillError, RuntimeError):
    """A thread has a version of its own, and that one cannot be loaded."""


class BadCanary(ThreadmillError, ValueError):
    """A trial in production, or a bound of one, that makes no sense here."""


class BadSuite(ThreadmillError, ValueError):
    """A file of tasks that cannot be played as it is."""


class NotPaused(ThreadmillError, ValueError):
    """An answer was given to a thread that asks nothing."""


class StillPaused(ThreadmillError, ValueError):
    """New input was given to a thread that waits for an answer."""


class CannotTravel(ThreadmillError, ValueError):
    """A fork or a replay that this graph, or this checkpoint, does not allow."""


class ThreadBusy(ThreadmillError, RuntimeError):
    """A thread that somebody else drives at this moment."""


class LeaseLost(ThreadmillError, RuntimeError):
    """A run whose thread was taken over by somebody else; it may not write any more."""


class RunStopped(ThreadmillError, RuntimeError):
    """A run that something stopped half-way: its thread can be continued."""


class BadAnswer(ThreadmillError, ValueError):
    """An answer to an interrupt that does not fit its question."""


class BadModelFolder(ThreadmillError, ValueError):
    """A model folder that lacks weights, a tokenizer or a chat template."""


class BadAdapter(BadModelFolder):
    """An adapter that cannot be merged: damaged, made for another base, or its base cannot be opened."""


class CannotRender(ThreadmillError, ValueError):
    """Messages that a chat template refuses or cannot show."""


class NoToolTemplate(CannotRender):
    """Tools were given to a model whose chat template has no place for them."""


class BadModelSpec(ThreadmillError, ValueError):
    """A model SPEC that names nothing that can be loaded."""


class ContextOverflow(ThreadmillError, ValueError):
    """A prompt that does not fit into the model's context."""


class QueueFull(ThreadmillError, RuntimeError):
    """More requests than a model lets wait."""


class OutOfMemory(ThreadmillError, MemoryError):
    """The device has no room for the weights or for what is being decoded."""


class BadTrace(ThreadmillError, ValueError):
    """A message whose recorded tokens are missing or contradict each other."""


class BadCheckpoint(ThreadmillError, ValueError):
    """A checkpoint whose content is damaged, or of a form that is not known."""


class BadDataset(ThreadmillError, ValueError):
    """A data set folder that cannot be read or holds no usable row."""


class BadWhere(ThreadmillError, ValueError):
    """A condition on threads that is not of a form that is known."""


class BadSelection(ThreadmillError, ValueError):
    """A wish about which rows to keep that contradicts itself or cannot be met."""


class BadRedaction(ThreadmillError, ValueError):
    """A kind or pattern that cannot be redacted, or tokens that the given tokenizer did not write."""


class CannotWrite(ThreadmillError, ValueError):
    """A branch that a chat format has no place for."""

    @property
    def reason(self) -> str:
        """Why, in a few words that are the same for all such branches."""
        return str(self.args[-1])


class BadImport(ThreadmillError, ValueError):
    """A file that cannot be imported at all (single bad rows are set aside instead)."""


class StoreFull(ThreadmillError, OSError):
    """The database could not be written; what was finished is kept."""


class BadConfig(ThreadmillError, ValueError):
    """A setting that a recipe does not have, or a value that it cannot take."""


class FolderBusy(ThreadmillError, RuntimeError):
    """Another process is at work in this folder."""


class TrainingFailed(ThreadmillError, RuntimeError):
    """A training run that cannot go on."""


class BadCredit(ThreadmillError, ValueError):
    """Settings of credit assignment that contradict each other, or numbers that do not fit an episode's turns."""


class BadEvaluation(ThreadmillError, ValueError):
    """Episodes that cannot be summarised or compared: none, too few, or of different tasks."""


class EpisodesCrash(BadEvaluation):
    """One episode of an evaluation after the other crashed: something is wrong with the model or the setup."""


class UnknownEvaluation(ThreadmillError, KeyError):
    """No evaluation of this id is kept."""


class BadPolicy(ThreadmillError, ValueError):
    """A policy of the gate that cannot be read, or asks for something that no policy can."""


class CannotGate(ThreadmillError, RuntimeError):
    """A candidate that cannot be compared with what is live."""


class BadReward(ThreadmillError, ValueError):
    """A reward that is not known, has a wrong parameter, or cannot be told for an episode."""


class CannotConstrain(ThreadmillError, ValueError):
    """An answer that no grammar can promise: a family, a schema or a budget that does not allow it."""


class MissingLibrary(ThreadmillError, ImportError):
    """An optional library that is needed here is not installed."""


class EndpointFailed(ThreadmillError, ConnectionError):
    """A model server that cannot be reached, refuses a request or breaks off its answer."""


class NoSuchPage(ThreadmillError, LookupError):
    """A page of a tool's output that is not there."""


class NoSandbox(ThreadmillError, RuntimeError):
    """No sandbox works here, and code of a model does not run without one."""


class BadToolSetting(ThreadmillError, ValueError):
    """A folder, URL or limit that a tool in the box cannot be made with."""


class BadApproval(ThreadmillError, ValueError):
    """A rule about calls that fits no tool, asks for an argument that is not there, or cannot be read."""


class BadBudget(ThreadmillError, ValueError):
    """A budget of tokens that no prompt fits into."""


class BadMemory(ThreadmillError, ValueError):
    """Memories that cannot be looked up: there is no store, or nothing says whose they are."""


class NoMemory(ThreadmillError, LookupError):
    """A memory to be forgotten that is not there."""


class CannotAttach(ThreadmillError, ValueError):
    """A file that cannot be shown to a model."""


class BadTool(ThreadmillError, TypeError):
    """Something that was given as a tool and is none."""


class BadTraits(ThreadmillError, ValueError):
    """Something that a tool declares of itself and that no tool can have."""


class BadIndex(ThreadmillError, ValueError):
    """An index of documents that is missing or no index, or documents that cannot be indexed."""


class CannotConnect(ThreadmillError, ConnectionError):
    """A server of tools that cannot be reached, or breaks off while it says what it has."""


class BadInput(ThreadmillError, ValueError):
    """A file of inputs that cannot be read, or a line of it that says nothing to an agent."""
