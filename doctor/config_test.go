package doctor

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/instance"
)

func TestBadConfigIsRefusedWithTheFieldsName(t *testing.T) {
	i, err := instance.Dial("localhost:1", instance.Config{})
	if err != nil {
		t.Fatalf("instance.Dial: %v", err)
	}
	for name, cfg := range map[string]Config{
		"MaxTTL":  {MaxTTL: math.MaxInt64},
		"MaxTTL ": {MaxTTL: -1},
		"Drift":   {Drift: math.NaN()},
		"Drift ":  {Drift: 1},
		"Sample":  {Sample: math.MaxInt64},
		"Guard":   {Guard: instance.GuardOff + 1},
	} {
		name = strings.TrimSpace(name)
		if _, err := Check(t.Context(), []*instance.Instance{i}, cfg); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("got %v, want an error that names %s", err, name)
		}
	}
	if q := (Config{MaxTTL: longest, Drift: math.Nextafter(1, 0)}).quarantine(instance.MaxTimeout); q < longest || q-longest < instance.MaxTimeout {
		t.Errorf("the quarantine is %v", q)
	}
	if up := (facts{info: map[string]string{"uptime_in_seconds": "9223372036854775807"}}).uptime(); up < 290*365*24*time.Hour {
		t.Errorf("up for %v", up)
	}
}
