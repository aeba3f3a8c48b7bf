"""The words of mails. Pure."""

from store.mail.smtp import Mail

_ROLES = {"owner": "an owner", "admin": "an admin", "member": "a member", "viewer": "a viewer"}


def sign_in(to: str, code: str, link: str) -> Mail:
    """Carry a code and a link to sign in."""
    text = f"""Your code is {code}

Enter it in the window where you asked to sign in, or open this link in the same browser:

{link}

The code and the link work once, within 10 minutes. If you did not ask to sign in, ignore this mail: nobody can sign in
without it.
"""
    return Mail(to, f"{code} is your ScopeKit code", text)


def webhook_paused(to: str, *, company: str, url: str, link: str) -> Mail:
    """Say that an endpoint is paused after days of failures; nothing of its address in the subject."""
    text = f"""{company} has a webhook endpoint that has taken nothing for three days:

{url}

ScopeKit does not try any more. Events are kept for 30 days. When the receiver is back, turn the endpoint on and
deliver the failed events again:

{link}
"""
    return Mail(to, "A webhook endpoint is paused", text)


def invitation(to: str, *, company: str, role: str, inviter: str, link: str) -> Mail:
    """Invite somebody into a company."""
    by = f"{inviter} invites you" if inviter else "You are invited"
    text = f"""{by} to {company} on ScopeKit, as {_ROLES[role]}.

Open this link to join:

{link}

The link works once, within 7 days. If you do not know {company}, ignore this mail.
"""
    return Mail(to, f"Join {company} on ScopeKit", text)
