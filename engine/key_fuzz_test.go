package engine

import (
	"strings"
	"testing"

	"github.com/holdfast-go/holdfast/internal/slots"
)

// hashed is the part of a key that decides its cluster slot, as the specification of
// Redis Cluster has it.
func hashed(key string) string {
	begin := strings.IndexByte(key, '{')
	if begin < 0 {
		return key
	}
	end := strings.IndexByte(key[begin+1:], '}')
	if end <= 0 { // none, or nothing between them
		return key
	}
	return key[begin+1:][:end]
}

// FuzzKeys: whatever a resource is called, its lock and its fence are in the same
// cluster slot, unless no fence can be, and begin with the prefix.
func FuzzKeys(f *testing.F) {
	for _, name := range []string{"a", "{a}", "{}a", "a}b", "}{a}", "{{a}}", "a{b", "{a}{b}", "\r\n\x00\xff", "ü"} {
		f.Add("", name)
		f.Add("locks:", name)
		f.Add("{locks}:", name)
	}
	f.Fuzz(func(t *testing.T, prefix, resource string) {
		cfg := Config{KeyPrefix: prefix}
		if _, err := cfg.withDefaults(); err != nil || checkResource(resource) != nil {
			t.Skip("refused")
		}
		e := Engine{cfg: cfg}
		lock := e.key(resource)
		fence := slots.Beside(prefix, slots.Fence, lock)
		if lock != prefix+resource || !strings.HasPrefix(fence, prefix) || lock == fence {
			t.Errorf("lock %q, fence %q", lock, fence)
		}
		if slots.HasTag(lock) != (hashed(lock) != lock) {
			t.Errorf("%q: HasTag is %v", lock, slots.HasTag(lock))
		}
		impossible := !slots.HasTag(lock) && strings.Contains(lock, "}")
		if !impossible && hashed(fence) != hashed(lock) {
			t.Errorf("lock %q is in the slot of %q, fence %q in that of %q", lock, hashed(lock), fence, hashed(fence))
		}
	})
}
