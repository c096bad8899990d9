package customer

import (
	"fmt"
	"maps"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/annal-crm/annal/domain"
)

const (
	attribute = "attributes." // before the name of an attribute
	maxPhone  = 64            // E.164 has 15 digits; people add extensions and remarks
)

func (e Registered) fields() map[string]string {
	values := map[string]string{
		"name": e.Name, "sector": e.Sector, "country": e.Country, "website": e.Website, "phone": e.Phone, "email": e.Email,
		"owner": domain.Ref(e.Owner),
	}
	for name, value := range e.Attributes {
		values[attribute+name] = value
	}
	return values
}

// clean checks every field. It keeps blank attributes: a row says by them that there is no value (any more).
func (e Registered) clean() (Registered, error) {
	if len(e.Attributes) > domain.MaxAttributes {
		return e, domain.Invalid{"attributes": "are more than " + strconv.Itoa(domain.MaxAttributes)}
	}
	values, err := clean(e.fields())
	if err != nil {
		return e, err
	}
	e.Name, e.Sector, e.Country = values["name"], values["sector"], values["country"]
	e.Website, e.Phone, e.Email = values["website"], values["phone"], values["email"]
	e.Attributes = nil
	for name, value := range values {
		if name, ok := strings.CutPrefix(name, attribute); ok {
			if e.Attributes == nil {
				e.Attributes = make(map[string]string)
			}
			e.Attributes[name] = value
		}
	}
	return e, nil
}

// compact leaves blank attributes out.
func (e Registered) compact() Registered {
	maps.DeleteFunc(e.Attributes, func(_, value string) bool { return value == "" })
	if len(e.Attributes) == 0 {
		e.Attributes = nil
	}
	return e
}

func (f Fields) fields() map[string]string {
	values := make(map[string]string)
	for name, value := range map[string]*string{
		"name": f.Name, "sector": f.Sector, "country": f.Country, "website": f.Website, "phone": f.Phone, "email": f.Email,
	} {
		if value != nil {
			values[name] = *value
		}
	}
	for name, value := range f.Attributes {
		values[attribute+name] = ""
		if value != nil {
			values[attribute+name] = *value
		}
	}
	return values
}

// clean checks the fields there are.
func clean(values map[string]string) (map[string]string, error) {
	bad, cleaned := domain.Invalid{}, make(map[string]string, len(values))
	for field, value := range values {
		switch name, isAttribute := strings.CutPrefix(field, attribute); {
		case isAttribute:
			if utf8.RuneCountInString(name) > domain.MaxName { // too long to be repeated in an answer
				bad["attributes"] = fmt.Sprintf("has a name that is longer than %d characters", domain.MaxName)
				continue
			}
			value = bad.Attribute(field, value)
			field = attribute + bad.Name(field, name, domain.MaxName)
		case field == "name":
			value = bad.Name(field, value, domain.MaxName)
		case field == "website":
			value = bad.Website(field, value)
		case field == "phone":
			value = bad.Text(field, value, maxPhone)
		case field == "email":
			value = bad.Email(field, value)
		default:
			value = bad.Text(field, value, domain.MaxName)
		}
		cleaned[field] = value
	}
	return cleaned, bad.Err()
}

// edited is the event of some changes, by field.
func edited(changes map[string]domain.Change) Edited {
	var e Edited
	targets := e.targets()
	for name, change := range changes {
		if target, ok := targets[name]; ok {
			*target = &change
			continue
		}
		if e.Attributes == nil {
			e.Attributes = make(map[string]domain.Change)
		}
		e.Attributes[strings.TrimPrefix(name, attribute)] = change
	}
	return e
}

// targets says where the change of each field stands.
func (e *Edited) targets() map[string]**domain.Change {
	return map[string]**domain.Change{
		"name": &e.Name, "sector": &e.Sector, "country": &e.Country, "website": &e.Website, "phone": &e.Phone, "email": &e.Email,
	}
}

func (e Edited) fields() map[string]string {
	values := make(map[string]string)
	for name, target := range e.targets() {
		if *target != nil {
			values[name] = (*target).To
		}
	}
	for name, change := range e.Attributes {
		values[attribute+name] = change.To
	}
	return values
}
