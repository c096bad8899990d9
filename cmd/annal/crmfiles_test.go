package main

import (
	"encoding/csv"
	"fmt"
	"math/big"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// crmFiles are invented files of the form that examples/crm-sales.yaml reads, as their rows say it.
type crmFiles struct {
	dir       string
	customers [][]string
	sellers   []seller
	deals     []deal
}

type seller struct{ agent, manager, office string }

type deal struct{ id, agent, product, customer, stage, engaged, closed, value string }

// newCRMFiles invents the same files each time.
func newCRMFiles(t testing.TB) crmFiles {
	t.Helper()
	chance := rand.New(rand.NewPCG(3, 1))
	c := crmFiles{dir: t.TempDir()}
	one := func(of ...string) string { return of[chance.IntN(len(of))] }
	for i, name := range []string{"Aldermoor", "Birchline", "Copperfold", "Dunwater", "Elmgate", "Fernhollow", "Greystane", "Harrowby", "Inglenook", "Juniper & Sons"} {
		c.customers = append(c.customers, []string{name, one("retail", "medical", "finance"), fmt.Sprint(1970 + 3*i), fmt.Sprintf("%d.%02d", 100+chance.IntN(900), chance.IntN(100)),
			fmt.Sprint(20 + chance.IntN(3000)), one("Germany", "Kenya", "Japan"), ""})
	}
	managers, offices := []string{"Odile Marchetti", "Per Lindqvist", "Ruth Okonkwo"}, []string{"North", "South", "South"}
	for i, name := range []string{"Ada Fenn", "Bo Karlsen", "Cleo Dragan", "Dev Malhotra", "Eva Stone", "Finn O'Hara", "Gus Weber"} {
		c.sellers = append(c.sellers, seller{name, managers[i%3], offices[i%3]})
	}
	day := func(from time.Time, days int) time.Time { return from.AddDate(0, 0, 1+chance.IntN(days)) }
	for i := range 200 {
		d := deal{id: fmt.Sprintf("Q%03dX", i), agent: c.sellers[chance.IntN(len(c.sellers))].agent, product: one("GTXPro", "MG Special", "GTK 500"),
			stage: []string{"Won", "Won", "Lost", "Engaging", "Prospecting", "Won", "Lost"}[i%7]}
		if chance.IntN(9) > 0 {
			d.customer = c.customers[chance.IntN(len(c.customers))][0]
		}
		if engaged := day(time.Date(2016, 10, 1, 0, 0, 0, 0, time.UTC), 200); d.stage != "Prospecting" {
			d.engaged = engaged.Format(time.DateOnly)
			switch closed := day(engaged, 130).Format(time.DateOnly); d.stage {
			case "Won":
				d.closed, d.value = closed, fmt.Sprintf("%d.%02d", 50+chance.IntN(5000), 50*chance.IntN(2))
			case "Lost":
				d.closed, d.value = closed, "0"
			}
		}
		c.deals = append(c.deals, d)
	}
	teams, pipeline := [][]string{{"sales_agent", "manager", "regional_office"}}, [][]string{{"opportunity_id", "sales_agent", "product", "account", "deal_stage", "engage_date", "close_date", "close_value"}}
	for _, s := range c.sellers {
		teams = append(teams, []string{s.agent, s.manager, s.office})
	}
	for _, d := range c.deals {
		pipeline = append(pipeline, []string{d.id, d.agent, d.product, d.customer, d.stage, d.engaged, d.closed, d.value})
	}
	columns := []string{"account", "sector", "year_established", "revenue", "employees", "office_location", "subsidiary_of"}
	for name, rows := range map[string][][]string{"accounts.csv": append([][]string{columns}, c.customers...), "sales_teams.csv": teams, "sales_pipeline.csv": pipeline} {
		f, err := os.Create(filepath.Join(c.dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := csv.NewWriter(f).WriteAll(rows); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// in counts the opportunities at a stage, as the API writes it.
func (c crmFiles) in(stage string) (n int) {
	for _, d := range c.deals {
		if strings.EqualFold(d.stage, stage) {
			n++
		}
	}
	return n
}

// owned counts the opportunities of some agents.
func (c crmFiles) owned(by func(agent string) bool) (n int) {
	for _, d := range c.deals {
		if by(d.agent) {
			n++
		}
	}
	return n
}

// team tells who works for a manager.
func (c crmFiles) team(manager string) func(agent string) bool {
	return func(agent string) bool {
		for _, s := range c.sellers {
			if s.agent == agent && s.manager == manager {
				return true
			}
		}
		return false
	}
}

// closed is closed business by month, by owner and by customer: won, lost, and what the won ones were worth.
type closed [3]map[string]string

func closedRow(won, lost int, worth *big.Rat) string {
	return fmt.Sprintf("%d won, %d lost, worth %s", won, lost, worth.FloatString(4))
}

// closed takes the figures straight from the files.
func (c crmFiles) closed() (figures closed) {
	type sum struct {
		won, lost int
		worth     big.Rat
	}
	for i, key := range []func(deal) string{
		func(d deal) string { return d.closed[:len("2017-01")] },
		func(d deal) string { return login(d.agent) },
		func(d deal) string { return d.customer },
	} {
		sums := map[string]*sum{}
		for _, d := range c.deals {
			if d.closed == "" {
				continue
			}
			s := sums[key(d)]
			if s == nil {
				s = &sum{}
				sums[key(d)] = s
			}
			if d.stage == "Lost" {
				s.lost++
			} else if worth, ok := new(big.Rat).SetString(d.value); ok {
				s.won++
				s.worth.Add(&s.worth, worth)
			}
		}
		figures[i] = map[string]string{}
		for k, s := range sums {
			figures[i][k] = closedRow(s.won, s.lost, &s.worth)
		}
	}
	return figures
}

var notLetters = regexp.MustCompile(`[^a-z]+`)

// login is the login name that the mapping makes of a name.
func login(name string) string {
	return strings.Trim(notLetters.ReplaceAllString(strings.ToLower(name), "."), ".")
}
