-- The id that a clashing message was sent with: its text was sealed under that id and opens with no other.
-- NULL unless id_clash. Clashes stored before this stay unreadable until `nightdesk rebuild`.
ALTER TABLE projection.messages ADD COLUMN clash_of uuid;
