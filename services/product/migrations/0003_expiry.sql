-- When the units of a committed reservation came back, because its order was cancelled.
ALTER TABLE reservations ADD COLUMN returned_ms BIGINT;
