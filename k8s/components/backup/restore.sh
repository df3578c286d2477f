# Puts the backup $STAMP (as in faces-STAMP.dump; by default the newest) in $BACKUPS back: its rows in
# the place of every table in the schema, in one transaction; pictures beside those that are there.
# Ingest, detectors and the writer must be stopped meanwhile.
. "${BASH_SOURCE[0]%/*}/connection.sh"

newest() {
    ls -1 "$BACKUPS" | grep "^faces-.*$1\$" | tail -n 1 || true
}

dump=${STAMP:+faces-$STAMP.dump}
dump=${dump:-$(newest '\.dump')}
if [[ ! -f $BACKUPS/$dump ]]; then
    echo "restore: there is no ${dump:-faces-*.dump} in $BACKUPS" >&2
    exit 2
fi
# A newer program may have added tables that the dump knows nothing of: all of them go first. The
# word to commit is sent last, and only if the dump was read to its end.
{
    cat <<'SQL'
BEGIN;
DO $$
DECLARE own regclass;
BEGIN
    FOR own IN SELECT oid FROM pg_class
        WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'
    LOOP
        EXECUTE format('DROP TABLE %s CASCADE', own);
    END LOOP;
END $$;
SQL
    pg_restore --no-owner --no-privileges --no-comments --file=- "$BACKUPS/$dump"
    echo 'COMMIT;'
} | psql --dbname="$url" --no-password --no-psqlrc --quiet --output=/dev/null --set=ON_ERROR_STOP=1
echo "$dump: rows are back"

objects=${STAMP:+faces-$STAMP.tar}
objects=${objects:-$(newest '\.tar')}
if [[ -d $OBJECTS && -f $BACKUPS/$objects ]]; then
    # Not ".", the volume's own folder: it belongs to root, and its times and mode stay as they are.
    tar -C "$OBJECTS" -xpf "$BACKUPS/$objects" --wildcards './*'
    echo "$objects: pictures are back"
fi
