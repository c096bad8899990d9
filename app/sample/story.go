package sample

import (
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/customer"
)

// The people, and where they work. The addresses are for documentation (RFC 5737).
const (
	ines, jonas, amara, noor, li = "ines.duarte", "jonas.weber", "amara.okafor", "noor.haddad", "li.wei"

	office = "192.0.2.20"
	laptop = "Mozilla/5.0 (X11; Linux x86_64) Firefox/143.0"
	phone  = "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) Mobile/15E148"
)

type (
	program = commands.Commands
	command = commands.Command
)

// people: a team with its manager and two sales people, an auditor, an analyst.
func (s *story) people() {
	s.on(0, "08:30", "team Field Sales", by(s.administrator, (*program).CreateTeam, func(cmd command) commands.CreateTeam {
		return commands.CreateTeam{Command: cmd, Name: "Field Sales"}
	}))
	s.on(0, "08:32", "team North", by(s.administrator, (*program).CreateTeam, func(cmd command) commands.CreateTeam {
		return commands.CreateTeam{Command: cmd, Name: "North", Parent: s.team("Field Sales")}
	}))
	s.on(0, "08:40", "policy", by(s.administrator, (*program).ChangeLockoutPolicy, func(cmd command) commands.ChangeLockoutPolicy {
		return commands.ChangeLockoutPolicy{Command: cmd, Attempts: 5, Window: 15 * time.Minute, LockFor: 30 * time.Minute}
	})).because("agreed with the works council")
	s.join(ines, "Inês Duarte", "manager", s.team("North"), "08:45")
	s.join(jonas, "Jonas Weber", "sales", s.team("North"), "08:50")
	s.join(amara, "Amara Okafor", "sales", s.team("North"), "08:55")
	s.join(noor, "Noor Haddad", "auditor", uuid.Nil, "08:57")
	s.join(li, "Li Wei", "analyst", uuid.Nil, "08:59")
	s.on(0, "10:30", "manager of North", by(s.administrator, (*program).SetTeamManager, func(cmd command) commands.SetTeamManager {
		return commands.SetTeamManager{Command: cmd, Team: s.team("North"), Manager: s.account(ines)}
	}))
}

// signingIn: days at work; then somebody guesses Jonas' password at night until the account is locked, and the lock ends by
// its timer.
func (s *story) signingIn() {
	s.visit(amara, 1, "08:58", "17:01", laptop)
	s.visit(jonas, 1, "09:02", "12:10", laptop)
	s.visit(jonas, 3, "18:40", "18:55", phone)
	for n, clock := range []string{"02:10", "02:10", "02:11", "02:12", "02:12", "02:13"} {
		s.guess(n, 9, clock, jonas)
	}
	s.on(9, "02:42", "the lock ends", func(t *teller, cmd command) error {
		p, err := t.System(t.ctx, commands.Home)
		if err == nil {
			_, err = t.EndLock(t.ctx, p, commands.OnAccount{Command: cmd, AccountID: s.account(jonas)})
		}
		return err
	})
	s.visit(jonas, 9, "08:47", "17:30", laptop)
	s.visit(noor, 22, "10:00", "11:25", laptop)
	s.visit(amara, 29, "09:00", "17:00", laptop)
}

// governing: Jonas stands in for the manager for a week.
func (s *story) governing() {
	manager := func(cmd command) commands.Role {
		return commands.Role{Command: cmd, AccountID: s.account(jonas), Role: "manager"}
	}
	s.on(14, "08:20", "grant", by(s.administrator, (*program).GrantRole, manager)).because("stands in for Inês for a week")
	s.on(21, "08:15", "revoke", by(s.administrator, (*program).RevokeRole, manager)).because("Inês is back")
}

// selling: customers are registered and edited, deals won and lost.
func (s *story) selling() {
	s.register(amara, 1, "09:20", customer.Registered{Name: "Harbor Instruments", Sector: "measurement", Country: "Denmark"})
	s.register(jonas, 2, "10:05", customer.Registered{Name: "Linden Bakery Group", Sector: "food", Country: "Germany"})
	s.register(amara, 4, "14:30", customer.Registered{Name: "Sable Logistics", Sector: "transport", Country: "Nigeria"})

	text := func(s string) *string { return &s }
	s.edit(amara, 5, "11:15", "Harbor Instruments", "from their letterhead", customer.Fields{Phone: text("+45 5550 1200"), Website: text("https://harbor.example")})
	s.edit(amara, 12, "09:40", "Harbor Instruments", "called back: new extension", customer.Fields{Phone: text("+45 5550 1248")})
	s.edit(jonas, 13, "16:20", "Linden Bakery Group", "they deliver now", customer.Fields{Sector: text("food delivery")})

	s.deal(amara, "S-1001", "Gauge", "Harbor Instruments", 5, 16, "4821.00")
	s.deal(jonas, "S-1002", "Gauge", "Linden Bakery Group", 6, 18, lost)
	s.deal(amara, "S-1003", "Logger", "Sable Logistics", 8, 24, "12750.50")
	s.deal(jonas, "S-1004", "Logger", "Harbor Instruments", 11, 26, "990.00")
	s.deal(jonas, "S-1005", "Gauge", "Linden Bakery Group", 21, stillOpen, lost)
}

const (
	lost      domain.Decimal = "" // is worth nothing
	stillOpen int            = 0  // the day it closed
)

func (s *story) register(who string, day int, clock string, c customer.Registered) {
	s.on(day, clock, "register "+c.Name, by(s.account(who), (*program).RegisterCustomer, func(cmd command) commands.RegisterCustomer {
		return commands.RegisterCustomer{Command: cmd, Registered: c}
	}))
}

func (s *story) edit(who string, day int, clock, name, reason string, fields customer.Fields) {
	s.on(day, clock, fmt.Sprintf("edit %s, day %d", name, day), by(s.account(who), (*program).EditCustomer, func(cmd command) commands.EditCustomer {
		return commands.EditCustomer{On: commands.On{Command: cmd, ID: s.made("customer", "register "+name)}, Fields: fields}
	})).because(reason)
}

func (s *story) deal(who, reference, product, with string, opened, closed int, value domain.Decimal) {
	id := s.made("opportunity", "open "+reference)
	this := func(cmd command) commands.On {
		return commands.On{Command: cmd, ID: id}
	}

	s.on(opened, "10:30", "open "+reference, by(s.account(who), (*program).OpenOpportunity, func(cmd command) commands.OpenOpportunity {
		return commands.OpenOpportunity{Command: cmd, Reference: reference, Product: product, CustomerID: s.made("customer", "register "+with)}
	}))
	if closed == stillOpen {
		return
	}
	s.on(opened+1, "11:00", "engage "+reference, by(s.account(who), (*program).EngageOpportunity, this))
	if value == lost {
		s.on(closed, "15:45", "lose "+reference, by(s.account(who), (*program).LoseOpportunity, this)).because("budget cut")
		return
	}
	s.on(closed, "15:45", "win "+reference, by(s.account(who), (*program).WinOpportunity, func(cmd command) commands.WinOpportunity {
		return commands.WinOpportunity{On: commands.On{Command: cmd, ID: id}, Value: value}
	}))
}
