"""Keys, tokens and passwords in a text, as the plugins of detect-secrets know them, and a few that they do not.

The plugins' own search names what it found, but not where, and often only a part of it: ``ghp`` of a GitHub token, the
first line of a private key. Here their patterns are asked, and what was found is taken whole.
"""

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from importlib import import_module
from typing import Any

from ...errors import MissingLibrary
from .windows import windows

_PLUGINS = {
    "PRIVATE_KEY": ("private_key.PrivateKeyDetector", ("PRIVATE KEY", "PuTTY-User-Key-File-2")),
    "AWS_ACCESS_KEY": ("aws.AWSKeyDetector", ("AKIA", "ASIA", "ABIA", "ACCA", "A3T", "aws")),
    "AZURE_STORAGE_KEY": ("azure_storage_key.AzureStorageKeyDetector", ("AccountKey=",)),
    "BASIC_AUTH": ("basic_auth.BasicAuthDetector", ("://",)),
    "CLOUDANT_CREDENTIALS": ("cloudant.CloudantDetector", ("cl_", "clkey", "clp", "cltoken", "clou")),
    "DISCORD_BOT_TOKEN": ("discord.DiscordBotTokenDetector", (".",)),
    "GITHUB_TOKEN": ("github_token.GitHubTokenDetector", ("ghp_", "gho_", "ghu_", "ghs_", "ghr_")),
    "GITLAB_TOKEN": ("gitlab_token.GitLabTokenDetector", ("gl", "GR1348941")),
    "IBM_CLOUD_IAM_KEY": ("ibm_cloud_iam.IbmCloudIamDetector", ("key", "pwd", "pass", "token")),
    "IBM_COS_CREDENTIALS": ("ibm_cos_hmac.IbmCosHmacDetector", ("secret",)),
    "JSON_WEB_TOKEN": ("jwt.JwtTokenDetector", ("eyJ",)),
    "MAILCHIMP_ACCESS_KEY": ("mailchimp.MailchimpDetector", ("-us",)),
    "NPM_TOKEN": ("npm.NpmDetector", (":_authToken",)),
    "OPENAI_TOKEN": ("openai.OpenAIDetector", ("T3BlbkFJ",)),
    "PYPI_TOKEN": ("pypi_token.PypiTokenDetector", ("pypi-",)),
    "SENDGRID_API_KEY": ("sendgrid.SendGridDetector", ("SG.",)),
    "SLACK_TOKEN": ("slack.SlackDetector", ("xox", "hooks.slack.com")),
    "SOFTLAYER_CREDENTIALS": ("softlayer.SoftlayerDetector", ("softlayer", "sl")),
    "SQUARE_OAUTH_SECRET": ("square_oauth.SquareOAuthDetector", ("sq0csp-",)),
    "STRIPE_ACCESS_KEY": ("stripe.StripeDetector", ("k_live_",)),
    "TELEGRAM_BOT_TOKEN": ("telegram_token.TelegramBotTokenDetector", (":",)),
    "TWILIO_API_KEY": ("twilio.TwilioKeyDetector", ("AC", "SK")),
    "ARTIFACTORY_CREDENTIALS": ("artifactory.ArtifactoryDetector", ("AKC", "AP")),
}
"""Class of a plugin, and texts of which one must occur, in whatever case, before its slower patterns are asked."""
_OURS = {
    "ANTHROPIC_API_KEY": (r"sk-ant-[A-Za-z0-9_-]{20,}", "sk-ant-"),
    "GITHUB_FINE_GRAINED_TOKEN": (r"github_pat_[A-Za-z0-9_]{22,}", "github_pat_"),
    "GOOGLE_API_KEY": (r"AIza[A-Za-z0-9_-]{35}", "aiza"),
    "HUGGING_FACE_TOKEN": (r"(?<![A-Za-z0-9])hf_[A-Za-z0-9]{30,}", "hf_"),
    "OPENAI_PROJECT_KEY": (r"sk-(?:proj|svcacct|admin)-[A-Za-z0-9_-]{20,}", "sk-"),
    "STRIPE_TEST_KEY": (r"[rs]k_test_[A-Za-z0-9]{24,}", "k_test_"),
}
"""Keys with a prefix of their own for which detect-secrets has no plugin."""
SECRETS = (*(kind for kind in _PLUGINS if kind != "ARTIFACTORY_CREDENTIALS"), *_OURS, "NAMED_SECRET")
_SHORTEST_SECRET = 16
_LONG = {
    "CLOUDANT_CREDENTIALS",
    "DISCORD_BOT_TOKEN",
    "IBM_CLOUD_IAM_KEY",
    "IBM_COS_CREDENTIALS",
    "MAILCHIMP_ACCESS_KEY",
    "SOFTLAYER_CREDENTIALS",
    "TELEGRAM_BOT_TOKEN",
    "TWILIO_API_KEY",
}
"""Kinds whose hints are common, but which have a word of 24 characters."""
_LONG_WORD = re.compile(r"[A-Za-z0-9_-]{24,}")
_REACH = 100
_LONGEST_VALUE = 256
_REST_OF_WORD = re.compile(r"[A-Za-z0-9_-]*")
_REST_OF_JWT = re.compile(r"[A-Za-z0-9_=-]*(?:\.[A-Za-z0-9_+/=-]+)*")
_JWT_WORD = re.compile(r"[A-Za-z0-9_=.+/-]{16,}")
_END_OF_KEY = re.compile(r"END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-{0,5}|Private-MAC: \w+")
_LONGEST_KEY = 20_000
_BODY_OF_KEY = re.compile(
    r"-{0,5}(?:\s+(?:[\w-]+: .*|[A-Za-z0-9+/=]{16,}))*(?:\s+[A-Za-z0-9+/=]+(?=\s*(?:-|\Z)))?(?:\s*-{1,5}[A-Z ]*)?"
)
_LINE = re.compile(r"[^\r\n]+")
_PLACEHOLDER = re.compile(r"\[[A-Z][A-Z0-9_]*\]")


def secret_finder(kind: str) -> Callable[[str], Iterator[tuple[int, int]]]:
    """Finds the characters ``[start, end)`` that are of ``kind``.

    Raises:
        MissingLibrary: detect-secrets is not installed.
    """
    if kind in _OURS:
        pattern, hint = _OURS[kind]
        return _with_hints(_whole([re.compile(pattern)]), (hint,))
    if kind == "NAMED_SECRET":
        return _password_finder()
    if kind == "HIGH_ENTROPY":
        return _entropy_finder()
    name, hints = _PLUGINS[kind]
    plugin = _load(name)()
    if kind == "PRIVATE_KEY":
        return _with_hints(_keys(plugin.denylist), hints)
    if kind == "JSON_WEB_TOKEN":
        return _with_hints(_web_tokens(plugin), hints)
    return _with_hints(_whole(plugin.denylist), hints, long=kind in _LONG)


def _with_hints(
    find: Callable[[str], Iterator[tuple[int, int]]], hints: tuple[str, ...], *, long: bool = False
) -> Callable[[str], Iterator[tuple[int, int]]]:
    """Asks ``find`` only where a hint occurs, and with ``long`` only around long words."""
    lowered = tuple(hint.lower() for hint in hints)

    def find_if_hinted(text: str) -> Iterator[tuple[int, int]]:
        low = _lower(text)
        if not any(hint in low for hint in lowered):
            return
        if not long:
            yield from find(text)
        for begin, window in _long_words(text) if long else ():
            yield from ((begin + start, begin + end) for start, end in find(window))

    return find_if_hinted


@lru_cache(maxsize=4)
def _lower(text: str) -> str:
    """Kept for the next finder, which is asked about the same text."""
    return text.lower()


@lru_cache(maxsize=4)
def _long_words(text: str) -> tuple[tuple[int, str], ...]:
    return tuple(windows(text, _LONG_WORD, _REACH))


def _whole(patterns: Any) -> Callable[[str], Iterator[tuple[int, int]]]:
    """The secret to the end of its word: a long group of the pattern, or all that matched if that is a mere prefix."""

    def find(text: str) -> Iterator[tuple[int, int]]:
        for pattern in patterns:
            for match in pattern.finditer(text):
                groups = [match.span(at) for at in range(1, pattern.groups + 1) if match[at]]
                start, end = max(groups, key=lambda span: span[1] - span[0], default=match.span())
                if end - start < _SHORTEST_SECRET:
                    start, end = match.span()
                start += len(text[start:end]) - len(text[start:end].lstrip(" \t\r\n\"'=:"))
                end = start + len(text[start:end].rstrip(" \t\r\n\"'"))
                yield start, _end_of(_REST_OF_WORD, text, end)

    return find


def _web_tokens(plugin: Any) -> Callable[[str], Iterator[tuple[int, int]]]:
    """With the signature, which the plugin leaves behind."""

    def find(text: str) -> Iterator[tuple[int, int]]:
        for word in _JWT_WORD.finditer(text):
            if len(word[0]) > _LONGEST_KEY:  # no token is as long, and the pattern takes a square of time
                continue
            for pattern in plugin.denylist:
                for match in pattern.finditer(word[0]):
                    if plugin.is_formally_valid(match[0]):
                        end = _end_of(_REST_OF_JWT, word[0], match.end())
                        yield word.start() + match.start(), word.start() + end

    return find


def _keys(patterns: Any) -> Callable[[str], Iterator[tuple[int, int]]]:
    """From the first dash to the last; of a key that was cut off, the lines that are there."""

    def find(text: str) -> Iterator[tuple[int, int]]:
        for pattern in patterns:
            for match in pattern.finditer(text):
                start = len(text[: match.start()].rstrip("-"))
                last = _END_OF_KEY.search(text, match.end(), match.end() + _LONGEST_KEY)
                yield start, last.end() if last else _end_of(_BODY_OF_KEY, text, match.end())

    return find


def _password_finder() -> Callable[[str], Iterator[tuple[int, int]]]:
    """Quoted values of what is named as a password, secret or key; no references, templates and placeholders."""
    keyword = _load("keyword")
    heuristic = _load("", "detect_secrets.filters.heuristic")
    names = "|".join(keyword.DENYLIST)
    lowered, named = re.compile(names), re.compile(rf"(?:{names})\w{{0,64}}(?!\w)", re.IGNORECASE)

    def find(text: str) -> Iterator[tuple[int, int]]:
        if not lowered.search(_lower(text)):
            return
        done = 0
        for name in named.finditer(text):
            if name.start() < done:
                continue
            done = name.start() + _LONGEST_VALUE  # what is named up to there has its value before the end of this
            begin = max(0, name.start() - _LONGEST_VALUE)
            for line in _LINE.finditer(text, begin, done + 2 * _LONGEST_VALUE):
                for pattern, group in keyword.QUOTES_REQUIRED_DENYLIST_REGEX_TO_GROUP.items():
                    for match in pattern.finditer(line[0]):
                        value = match[group]
                        harmless = heuristic.is_templated_secret(value) or heuristic.is_not_alphanumeric_string(value)
                        if not harmless and not _PLACEHOLDER.search(value):
                            yield line.start() + match.start(group), line.start() + match.end(group)

    return find


def _entropy_finder() -> Callable[[str], Iterator[tuple[int, int]]]:
    plugin = _load("high_entropy_strings.Base64HighEntropyString")()

    def find(text: str) -> Iterator[tuple[int, int]]:
        for match in plugin.regex.finditer(text):
            if plugin.calculate_shannon_entropy(match[2]) > plugin.entropy_limit:
                yield match.span(2)

    return find


def _end_of(rest: re.Pattern[str], text: str, at: int) -> int:
    match = rest.match(text, at)
    return match.end() if match else at


def _load(name: str, package: str = "detect_secrets.plugins") -> Any:
    module, _, attribute = name.partition(".")
    try:
        loaded = import_module(f"{package}.{module}" if module else package)
    except ImportError as error:
        raise MissingLibrary("redaction needs detect-secrets; pip install 'threadmill[redact]'") from error
    return getattr(loaded, attribute) if attribute else loaded
