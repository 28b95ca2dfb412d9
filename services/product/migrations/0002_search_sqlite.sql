-- Full-text search on SQLite. The index keeps no copy of the text
-- (content=products) and is written by triggers, so that no write can forget
-- it; they fire on text and deletion alone, since stock changes all the time.
CREATE VIRTUAL TABLE products_fts USING fts5 (
    name, description,
    content = 'products', content_rowid = 'id',
    tokenize = 'unicode61 remove_diacritics 2', prefix = '2 3'
);

CREATE TRIGGER products_fts_insert AFTER INSERT ON products WHEN new.deleted = 0 BEGIN
    INSERT INTO products_fts (rowid, name, description) VALUES (new.id, new.name, new.description);
END;

CREATE TRIGGER products_fts_update AFTER UPDATE OF name, description, deleted ON products BEGIN
    INSERT INTO products_fts (products_fts, rowid, name, description)
        SELECT 'delete', old.id, old.name, old.description WHERE old.deleted = 0;
    INSERT INTO products_fts (rowid, name, description)
        SELECT new.id, new.name, new.description WHERE new.deleted = 0;
END;
