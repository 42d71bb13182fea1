package restart

import (
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestEverySightingIsJudged(t *testing.T) {
	const quarantine = time.Minute
	now := time.Now()
	carried := now.Add(20 * time.Second)
	full := now.Add(quarantine)
	old := &Sighting{RunID: "a", Uptime: time.Hour, At: now.Add(-time.Hour)}
	for _, c := range []struct {
		name   string
		before *Sighting
		now    Sighting
		until  time.Time
		young  bool
	}{
		{"first seen, old", nil, Sighting{RunID: "a", Uptime: time.Hour}, time.Time{}, false},
		{"first seen, exactly the quarantine old", nil, Sighting{RunID: "a", Uptime: quarantine}, time.Time{}, false},
		{"first seen, a second younger", nil, Sighting{RunID: "a", Uptime: quarantine - time.Second}, now.Add(2 * time.Second), true},
		{"first seen, just started", nil, Sighting{RunID: "a", Uptime: 0}, full.Add(time.Second), true},
		{"first seen, uptime unknown", nil, Sighting{RunID: "a", Uptime: -1}, full, false},
		{"first seen, its clock was stepped back", nil, Sighting{RunID: "a", Uptime: -59 * time.Second}, full, false},
		{"first seen, old, but a replica once", nil, Sighting{RunID: "a", Uptime: time.Hour, Promoted: true}, full, false},
		{"first seen, young and a replica once", nil, Sighting{RunID: "a", Uptime: 0, Promoted: true}, full, false},
		{"first seen, no INFO", nil, Sighting{}, time.Time{}, false},

		{"again, the same", old, Sighting{RunID: "a", Uptime: 2 * time.Hour}, carried, false},
		{"again, the same second", old, Sighting{RunID: "a", Uptime: time.Hour}, carried, false},
		{"again, restarted", old, Sighting{RunID: "b", Uptime: 0}, full, false},
		{"again, restarted long ago by its own account", old, Sighting{RunID: "b", Uptime: time.Hour}, full, false},
		{"again, uptime shrunk", old, Sighting{RunID: "a", Uptime: time.Hour - time.Second}, full, false},
		{"again, uptime unknown now", old, Sighting{RunID: "a", Uptime: -1}, full, false},
		{"again, a replica meanwhile", &Sighting{RunID: "a", Uptime: time.Hour, History: "x"}, Sighting{RunID: "a", Uptime: time.Hour, History: "y"}, full, false},
		{"INFO permitted only now, young", &Sighting{}, Sighting{RunID: "a", Uptime: 0}, full.Add(time.Second), true},
		{"INFO permitted only now, old", &Sighting{}, Sighting{RunID: "a", Uptime: time.Hour}, time.Time{}, false},
	} {
		c.now.At = now
		j := Judge(c.before, c.now, carried, quarantine)
		if !j.Until.Equal(c.until) || j.Young != c.young {
			t.Errorf("%s: until %v (want %v), young %v (want %v)", c.name, j.Until.Sub(now), c.until.Sub(now), j.Young, c.young)
		}
		if (j.Why == "") != (c.until.IsZero() || c.until.Equal(carried)) {
			t.Errorf("%s: the reason is %q", c.name, j.Why)
		}
	}
}

func TestQuarantineIsNotForgottenWhenINFOIsNotPermittedAnyMore(t *testing.T) {
	now := time.Now()
	carried := now.Add(20 * time.Second)
	before := &Sighting{RunID: "a", Uptime: 0, At: now.Add(-time.Second)}
	if j := Judge(before, Sighting{Uptime: -1, At: now}, carried, time.Minute); j.Until.Before(carried) {
		t.Errorf("a quarantine of another 20s became one of %v", max(0, j.Until.Sub(now)))
	}
}
