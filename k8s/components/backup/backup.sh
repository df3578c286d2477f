# One backup into $BACKUPS: the database, then the pictures in $OBJECTS where there is such a folder.
# In this order every row has its picture: a picture is stored before its row is committed. A backup
# has its name only when it is complete; the newest $KEEP dumps and $KEEP_OBJECTS archives are kept.
. "${BASH_SOURCE[0]%/*}/connection.sh"

cd "$BACKUPS"
rm -f ./*.part
stamp=$(date -u +%Y%m%dT%H%M%SZ)

keep() {  # the newest $1 files that end in $2; their names sort by time
    ls -1 | grep "^faces-.*$2\$" | head -n "-$1" | xargs -r rm -f --
}

pg_dump --dbname="$url" --no-password --format=custom --file="faces-$stamp.dump.part"
pg_restore --list "faces-$stamp.dump.part" > /dev/null
mv "faces-$stamp.dump.part" "faces-$stamp.dump"
keep "$KEEP" '\.dump'
echo "faces-$stamp.dump: $(stat -c %s "faces-$stamp.dump") bytes"

if [[ -d $OBJECTS ]]; then
    # Status 1: a file changed or went while it was read, as when a picture is drawn again; the rest
    # is complete. lost+found is the file system's own.
    tar -C "$OBJECTS" --exclude=./lost+found -cf "faces-$stamp.tar.part" . || (($? == 1))
    mv "faces-$stamp.tar.part" "faces-$stamp.tar"
    keep "$KEEP_OBJECTS" '\.tar'
    echo "faces-$stamp.tar: $(stat -c %s "faces-$stamp.tar") bytes"
fi
