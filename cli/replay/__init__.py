"""`nightdesk replay`: plays transcripts against a running Nightdesk through its public API and keeps a ledger.

transcripts (what is played) → plan (who does what, drawn from a seed) → stage (team, inbox and agents of the run)
→ play (one conversation) with visitors and desks (the two sides) → audit (what the server says afterwards) → ledger.
"""
