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


def invitation(to: str, *, company: str, role: str, inviter: str, link: str) -> Mail:
    """Invite somebody into a company."""
    by = f"{inviter} invites you" if inviter else "You are invited"
    text = f"""{by} to {company} on ScopeKit, as {_ROLES[role]}.

Open this link to join:

{link}

The link works once, within 7 days. If you do not know {company}, ignore this mail.
"""
    return Mail(to, f"Join {company} on ScopeKit", text)
