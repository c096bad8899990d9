package auth

import (
	"errors"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestAPasswordFitsItsHashOnly(t *testing.T) {
	p := NewPasswords([]byte("pepper"), HashingConfig{})
	hash, err := p.Hash(t.Context(), "café au lait s'il vous plaît")
	if err != nil || !strings.HasPrefix(hash, "$argon2id$v=19$m=47104,t=1,p=1$") {
		t.Fatal(hash, err)
	}
	for password, want := range map[string]bool{
		"café au lait s'il vous plaît":               true,
		"cafe\u0301 au lait s'il vous plai\u0302t":   true, // the same characters in another spelling
		"Café au lait s'il vous plaît":               false,
		"café au lait s'il vous plaît ":              false,
		"cafe au lait s'il vous plait":               false,
		"":                                           false,
		strings.Repeat("café au lait", 1<<10)[:4096]: false,
	} {
		if ok, err := p.Verify(t.Context(), hash, password); ok != want || err != nil {
			t.Errorf("%q: %v, %v", password, ok, err)
		}
	}
	if ok, _ := NewPasswords([]byte("salt"), HashingConfig{}).Verify(t.Context(), hash, "café au lait s'il vous plaît"); ok {
		t.Error("the pepper does not matter")
	}
	if other, _ := p.Hash(t.Context(), "café au lait s'il vous plaît"); other == hash {
		t.Error("two hashes share a salt")
	}
}

func TestADamagedHashFitsNothing(t *testing.T) {
	p := NewPasswords(nil, HashingConfig{})
	for _, hash := range []string{
		"", "plain", "$argon2i$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$", "$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$",
		"$argon2id$v=16$m=64,t=1,p=1$c2FsdHNhbHQ$YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWE", "$argon2id$v=19$m=x$c2FsdHNhbHQ$YWFh",
	} {
		if ok, err := p.Verify(t.Context(), hash, ""); ok || err == nil {
			t.Errorf("%q: %v, %v", hash, ok, err)
		}
	}
}

// A flood of attempts may cost two computations' memory at a time, not a hundred's: 4.6 GB.
func TestAFloodCannotExhaustMemory(t *testing.T) {
	const slots, flood = 2, 100
	p := NewPasswords(nil, HashingConfig{Slots: slots, Line: 10, Wait: 10 * time.Second})
	runtime.GC()
	var peak atomic.Uint64
	done := make(chan struct{})
	measured := make(chan struct{})
	go func() {
		defer close(measured)
		var m runtime.MemStats
		for {
			select {
			case <-done:
				return
			case <-time.After(5 * time.Millisecond):
				runtime.ReadMemStats(&m)
				peak.Store(max(peak.Load(), m.HeapInuse))
			}
		}
	}()
	var fits, busy atomic.Int32
	var wg sync.WaitGroup
	for range flood {
		wg.Go(func() {
			switch _, err := p.Verify(t.Context(), p.Dummy(), "guess"); {
			case err == nil:
				fits.Add(1)
			case errors.Is(err, ErrBusy):
				busy.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	close(done)
	<-measured
	t.Logf("%d computed, %d turned away, peak heap %d MB", fits.Load(), busy.Load(), peak.Load()>>20)
	if fits.Load() < slots || busy.Load() == 0 || fits.Load()+busy.Load() != flood {
		t.Errorf("%d computed, %d turned away", fits.Load(), busy.Load())
	}
	// What the collector has not come to yet counts as well: as much again, and a spare.
	if limit := uint64(slots*3+1) * memory << 10; peak.Load() > limit {
		t.Errorf("the peak is %d MB, more than %d", peak.Load()>>20, limit>>20)
	}
}

func TestWhoWaitsTooLongIsTurnedAway(t *testing.T) {
	p := NewPasswords(nil, HashingConfig{Slots: 1, Line: 1, Wait: 20 * time.Millisecond})
	p.slots <- struct{}{} // a computation that does not end
	if _, err := p.Hash(t.Context(), "x"); !errors.Is(err, ErrBusy) {
		t.Error(err)
	}
	<-p.slots
	if _, err := p.Hash(t.Context(), "x"); err != nil {
		t.Error(err)
	}
	if p.waiting.Load() != 0 {
		t.Error("the line does not get shorter")
	}
}

func TestRefuse(t *testing.T) {
	for password, allowed := range map[string]bool{
		"correct horse battery staple 42":     true,
		"nur Kleinbuchstaben ohne Ziffern":    true,
		"482915730264915":                     true, // any composition, NIST: digits too
		"ÿ☃漢字かな交じり文はどうですか":                    true, // 15 code points
		strings.Repeat("word salad ", 23):     false,
		"wurst brot käse milch " + "x":        true,
		"fourteen chars":                      false,
		"":                                    false,
		strings.Repeat("ab cd ef 1", 25):      false, // again and again
		"aaaaaaaaaaaaaaaa":                    false,
		"abcabcabcabcabcabc":                  false,
		"abcdefghijklmnopqrstuvwxyz":          false,
		"12345678901234567890":                false,
		"98765432109876543210":                false,
		"passwordpassword1!":                  false,
		"P@ssw0rd-P@ssw0rd":                   false,
		"Password Welcome 2024":               false,
		"qwertyuiop asdfgh 1":                 false,
		"ada.lovelace.2024":                   false,
		"Analytical Engines 1843":             false,
		"lovelace analytical admin":           false,
		"ada keeps tigers on the roof":        true,
		"bad \xff utf-8 passphrase is here":   false,
		strings.Repeat("Zq7!xw9Lm2Pf#d8v", 2): true,
		strings.Repeat("7", 5) + "wxkqvzpj" + strings.Repeat("long and winding road ", 12): false, // 257 and more
	} {
		if why := Refuse(password, "ada.lovelace", "Ada Lovelace", "Analytical Engines"); (why == "") != allowed {
			t.Errorf("%q: %q", password, why)
		}
	}
}

func TestAMadePasswordIsAllowed(t *testing.T) {
	if a, b := MakePassword(), MakePassword(); a == b || Refuse(a) != "" || len(a) != 26 {
		t.Error(a, b, Refuse(a))
	}
}
