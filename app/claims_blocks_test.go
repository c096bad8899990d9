package app_test

import (
	"bytes"
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/domain/customer"
	"github.com/annal-crm/annal/internal/vault"
)

// inFiles counts the files of Postgres that hold a text, by the folder they lie in.
func inFiles(t *testing.T, dir, mark string) map[string]int {
	t.Helper()
	found := make(map[string]int)
	root := filepath.Join(dir, "postgres", "data")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if os.IsNotExist(err) {
			return nil // it was dropped meanwhile
		}
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		if os.IsNotExist(err) {
			return nil
		}
		if bytes.Contains(text, []byte(mark)) {
			name, _ := filepath.Rel(root, path)
			folder, _, _ := strings.Cut(name, string(filepath.Separator))
			found[folder]++
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// What docs/audit.md says of Postgres' own files, with Annal's own Postgres: blocks and write-ahead log go on holding what was
// erased, and the statements that it names take it out of them.
func TestHowLongPostgresFilesHoldAPerson(t *testing.T) {
	t.Parallel()
	page := string(must(os.ReadFile("../docs/audit.md")))
	dir := must(os.MkdirTemp("", "annal-blocks-"))
	must(0, os.Chmod(dir, 0o755)) // Postgres need not run as who tests
	t.Cleanup(func() { os.RemoveAll(dir) })
	o := open(t, "", vault.NewMasterKey(), dir)
	mark := "zq" + strings.ReplaceAll(uuid.NewString(), "-", "")
	var ids []uuid.UUID
	for _, name := range []string{"Ada", "Erika " + strings.Repeat(mark, 5)} {
		ids = append(ids, must(o.Commands.RegisterCustomer(t.Context(), o.ada, commands.RegisterCustomer{Registered: customer.Registered{Name: name}})).ID)
	}
	o.settle()
	owner := must(pgx.Connect(t.Context(), o.Address))
	t.Cleanup(func() { owner.Close(context.Background()) })
	do := func(statement string) { t.Helper(); must(owner.Exec(t.Context(), statement)) }
	do("checkpoint")
	o.ask(customer.Category, ids[1])
	o.carryOut(o.automation())
	do("checkpoint")
	if found := inFiles(t, dir, mark); found["pg_wal"] == 0 || found["base"] == 0 {
		t.Fatal("Postgres' files hold nothing any more, the page is too dark:", found)
	}
	for _, statement := range []string{"vacuum full vault.keys", "vacuum full customers_v2.customers"} {
		if !strings.Contains(page, "`vacuum full vault.keys` and of the tables concerned") {
			t.Error("the page names another statement")
		}
		do(statement)
	}
	do("checkpoint")
	if found := inFiles(t, dir, mark); found["base"] > 0 || found["pg_wal"] == 0 {
		t.Error("after vacuum full:", found)
	}
	const written = "select pg_logical_emit_message(false, '', ''), pg_switch_wal() from pg_ls_waldir(); checkpoint"
	if !strings.Contains(page, "`"+written+"`") {
		t.Error("the page names another statement")
	}
	do("checkpoint")
	do("select pg_switch_wal()")
	do("checkpoint")
	if found := inFiles(t, dir, mark); found["pg_wal"] == 0 {
		t.Error("a checkpoint does it, the page is too dark")
	}
	for range 2 { // the first time over what was used before, the second over what was in use then
		for statement := range strings.SplitSeq(written, "; ") {
			do(statement)
		}
	}
	if found := inFiles(t, dir, mark); len(found) > 0 {
		t.Error("after the write-ahead log was written over:", found)
	}
	var size string // a segment is used again once a checkpoint has passed it, half of this on, and within this from there
	if err := owner.QueryRow(t.Context(), "show max_wal_size").Scan(&size); err != nil || size != "2GB" {
		t.Error("the page counts on max_wal_size = 2GB; it is", size, err)
	}
}
