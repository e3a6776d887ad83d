-- Accounts are told apart byte for byte, whatever the language of the database.
ALTER TABLE users ALTER COLUMN email TYPE varchar(255) COLLATE "C";
