"""Who answers, and why: the dispatcher gives every waiting conversation an owner or a place in a queue.

Reads the whole log. Writes the routing family, fenced. Keeps nothing of its own but snapshots of what it folded;
when it stops, conversations wait (and no promise breaks) until it or its standby decides again.
"""
