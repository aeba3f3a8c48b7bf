"""Content negotiation: whether a request prefers JSON to a page (RFC 9110, 12.5.1). Pure."""

_JSON = ("application/json", "application/problem+json")


def prefers_json(accept: str) -> bool:
    """Tell a program that asks for JSON from a browser; JSON must come before HTML by weight, then by place."""
    best = {"json": (0.0, 0), "html": (0.0, 0)}
    for place, part in enumerate(accept.lower().split(",")):
        kind, *parameters = (piece.strip() for piece in part.split(";"))
        family = "json" if kind in _JSON else "html" if kind in ("text/html", "application/xhtml+xml") else None
        if family is not None:
            best[family] = max(best[family], (_weight(parameters), -place))
    return best["json"][0] > 0 and best["json"] > best["html"]


def _weight(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return min(1.0, max(0.0, float(value)))
            except ValueError:
                return 0.0
    return 1.0
