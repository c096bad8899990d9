package domaintest

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain"
)

var update = flag.Bool("update", false, "write the golden files in testdata/events")

// StoredForms compares every event, with each of its fields filled, with testdata/events/<name>.v<schema>.json, and reads
// and writes that file through the types: what a released program has stored must be read, and nothing of it lost, for ever.
// With -update it writes the files; one that was released may not change by that.
func StoredForms[E any](t *testing.T, types domain.EventTypes[E]) {
	dir := filepath.Join("testdata", "events")
	known := make(map[string]bool)
	for name, zero := range types.All() {
		t.Run(name, func(t *testing.T) {
			filled := reflect.New(reflect.TypeOf(zero)).Elem()
			fill(t, filled, name)
			_, schema, data, err := types.Encode(filled.Interface().(E))
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(dir, fmt.Sprintf("%s.v%d.json", name, schema))
			known[filepath.Base(file)] = true
			if *update {
				if err := os.MkdirAll(dir, 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, append(data, '\n'), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			golden, err := os.ReadFile(file)
			if err != nil {
				t.Fatalf("%v (a new event: go test -update)", err)
			}
			golden = bytes.TrimSuffix(golden, []byte("\n"))
			e, err := types.Decode(name, schema, golden)
			if err != nil {
				t.Fatalf("the stored form is no longer read: %v", err)
			}
			if _, _, again, err := types.Encode(e); err != nil || !bytes.Equal(again, golden) {
				t.Fatalf("read and written again, the stored form is\n%s, %v\nwas\n%s", again, err, golden)
			}
			if !bytes.Equal(data, golden) {
				t.Errorf("the stored form is\n%s\nwas\n%s", data, golden)
			}
		})
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !known[f.Name()] {
			t.Errorf("%s: the types no longer has this event", f.Name())
		}
	}
}

// fill gives every field a value that tells it from the others.
func fill(t *testing.T, v reflect.Value, path string) {
	id := uuid.NewSHA1(uuid.NameSpaceURL, []byte(path))
	switch p := v.Addr().Interface().(type) {
	case *uuid.UUID:
		*p = id
		return
	case *time.Time:
		*p = time.Date(2026, 1, 2, 15, 4, 5, 6000*int(id[0]), time.UTC)
		return
	case *domain.Hash:
		copy(p[:], bytes.Repeat(id[:], 2))
		return
	case *domain.Duration:
		*p = domain.Duration(time.Duration(id[0]) * time.Minute)
		return
	case *domain.Decimal:
		*p = "1054.25"
		return
	}
	leaf := path[strings.LastIndexByte(path, '.')+1:]
	switch v.Kind() {
	case reflect.String:
		v.SetString(leaf + " é\"")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(id[0]) + 1)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(t, v.Elem(), path)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range v.Len() {
			fill(t, v.Index(i), fmt.Sprint(path, i))
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for i := range 2 {
			key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			fill(t, key, fmt.Sprint(path, i))
			fill(t, value, fmt.Sprint(path, i, "value"))
			v.SetMapIndex(key, value)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			fill(t, v.Field(i), path+"."+v.Type().Field(i).Name)
		}
	default:
		t.Fatalf("%s: no value for a %s yet", path, v.Type())
	}
}
