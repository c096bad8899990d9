package engine

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"reflect"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// copy adds rows by COPY. It writes Postgres' binary form itself: pgx would look up for each value how to, at three
// times the price.
func (r *relation) copy(ctx context.Context, conn *pgx.Conn, schema string, rows []reflect.Value) error {
	from := &copied{elements: make([]element, len(r.columns)), rows: rows, types: conn.TypeMap(), ready: append([]byte("PGCOPY\n\xff\r\n\x00"), make([]byte, 8)...)} // no flags, no extension
	for i := range r.columns {
		from.elements[i].column = &r.columns[i]
	}
	_, err := conn.PgConn().CopyFrom(ctx, from, fmt.Sprintf("copy %s (%s) from stdin binary", r.in(schema), names(r.columns, name)))
	return err
}

// copied is rows as COPY reads them.
type copied struct {
	elements []element // of a row
	rows     []reflect.Value
	types    *pgtype.Map
	ready    []byte // and not read yet
	buffer   []byte
}

// Read implements [io.Reader].
func (c *copied) Read(p []byte) (int, error) {
	if len(c.ready) == 0 {
		c.ready = c.buffer[:0]
		for len(c.rows) > 0 && len(c.ready) < len(p) {
			var err error
			if c.ready, err = c.row(c.ready, c.rows[0]); err != nil {
				return 0, err
			}
			c.rows = c.rows[1:]
		}
		if c.buffer = c.ready; len(c.ready) == 0 {
			return 0, io.EOF
		}
	}
	n := copy(p, c.ready)
	c.ready = c.ready[n:]
	return n, nil
}

func (c *copied) row(buf []byte, row reflect.Value) (_ []byte, err error) {
	buf = binary.BigEndian.AppendUint16(buf, uint16(len(c.elements)))
	for i := range c.elements {
		e := &c.elements[i]
		e.row = row
		at := len(buf)
		buf = binary.BigEndian.AppendUint32(buf, math.MaxUint32) // the length: NULL
		f, ok := e.value()
		if !ok || e.column.sql == "json" && f.IsNil() {
			continue
		}
		if buf, err = e.append(buf, f, c.types); err != nil {
			return nil, fmt.Errorf("projections: write %s: %w", e.column.name, err)
		}
		binary.BigEndian.PutUint32(buf[at:], uint32(len(buf)-at-4))
	}
	return buf, nil
}

// append appends the value f of e.
func (e *element) append(buf []byte, f reflect.Value, types *pgtype.Map) ([]byte, error) {
	base, _, _ := strings.Cut(e.column.sql, " ")
	if e.column.cell > 0 && base != "numeric" {
		return cellBinary(buf, base, f.String())
	}
	switch base {
	case "uuid":
		return append(buf, f.Addr().Interface().(*uuid.UUID)[:]...), nil
	case "bigint":
		n, err := e.Int64Value()
		return binary.BigEndian.AppendUint64(buf, uint64(n.Int64)), err
	case "timestamptz":
		return binary.BigEndian.AppendUint64(buf, uint64(f.Addr().Interface().(*time.Time).UnixMicro()-epoch)), nil
	case "text":
		return append(buf, f.String()...), nil
	case "json":
		return append(buf, f.Bytes()...), nil
	case "boolean":
		if f.Bool() {
			return append(buf, 1), nil
		}
		return append(buf, 0), nil
	case "integer":
		return binary.BigEndian.AppendUint32(buf, uint32(f.Int())), nil
	}
	return types.Encode(oids[base], pgtype.BinaryFormatCode, e.send(false), buf)
}

// oids are those of the types that pgx writes.
var oids = map[string]uint32{"numeric": pgtype.NumericOID, "text[]": pgtype.TextArrayOID, "uuid[]": pgtype.UUIDArrayOID, "bigint[]": pgtype.Int8ArrayOID}
