"""Who may open a link: sessions, passcodes, limits, secrets, headers."""
