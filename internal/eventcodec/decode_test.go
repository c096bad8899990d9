package eventcodec

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/annal-crm/annal/domain/customer"
	"github.com/annal-crm/annal/internal/vault"
)

// What is not decoded by encoding/json is decoded as it would, whoever wrote it.
func TestDecodedAsByEncodingJSON(t *testing.T) {
	for _, data := range []string{
		`{}`, `{"attributes":{}}`, `{"attributes":null}`, `{"attributes": { "a" : {"from":"","to":"x"}, "b":{"to":"ü\n\"q\" \\"} }}`, `{"attributes":{"a\"\u0062":{"from":"1"}}}`,
		`{"attributes":{"a":null,"b":{"other":[1,{"]":"}"}],"from":"f","to":null}}}`, `{"imported":{"a":"1","b":"","c":null}}`, `{"imported":{"a":"\u00e4","b\\":"2"},"phone":{"from":"\"","to":"\\"}}`,
		`{"attributes":{"a":"word"}}`, `{"attributes":{"a":{"from":1}}}`, `{"imported":{"a":1}}`, `{"attributes":[]}`,
	} {
		var want customer.Edited
		wanted := json.Unmarshal([]byte(data), &want)
		got, err := formOf(reflect.TypeOf(want), nil, "").decode([]byte(data), nil, vault.Place{}, "")
		if (err == nil) != (wanted == nil) || err == nil && !reflect.DeepEqual(got, want) {
			t.Errorf("%s is %+v, %v, want %+v, %v", data, got, err, want, wanted)
		}
	}
}
