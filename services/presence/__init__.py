"""Who is here: presence turns what gateways hear of agents' devices into facts, with hysteresis.

Reads the account and presence families, and beats of gateways on core NATS. Writes the presence family, fenced.
When it stops, everybody stays as they were last recorded; when it returns, nobody is judged by the time it missed.
"""
