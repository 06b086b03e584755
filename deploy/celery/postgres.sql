CREATE ROLE gsc LOGIN PASSWORD 'change-me';
CREATE DATABASE gsc OWNER gsc;
-- At the next start; pg_hba.conf allows the other machines.
ALTER SYSTEM SET listen_addresses = 'localhost, 10.0.0.1';
