"""The ways in that the settings turn on, as the sign-in page offers them."""

from dataclasses import dataclass

from config.settings import Settings


@dataclass(frozen=True)
class WayIn:
    """One way: `template` is the part of the sign-in page that begins it, and sees this as `way`."""

    name: str
    label: str
    template: str


def ways_on(settings: Settings) -> list[WayIn]:
    """Return the ways that are on, in the order of the page."""
    ways = []
    if settings.mail_url is not None:
        ways.append(WayIn("email", "Email", "accounts/sign_in/ways/email.html"))
    if settings.passkeys:
        ways.append(WayIn("passkey", "Passkey", "accounts/sign_in/ways/passkey.html"))
    if settings.supabase_url is not None and settings.supabase_anon_key is not None:
        ways.append(WayIn("supabase", "Password", "accounts/sign_in/ways/supabase.html"))
        ways += [
            WayIn(f"supabase:{name}", name.title(), "accounts/sign_in/ways/supabase_social.html")
            for name in settings.supabase_providers
        ]
    ways += [
        WayIn(f"oidc:{each.name}", each.label, "accounts/sign_in/ways/oidc.html") for each in settings.oidc_issuers
    ]
    return ways


def is_on(settings: Settings, name: str) -> bool:
    """Tell whether a way is on."""
    return any(way.name == name for way in ways_on(settings))
