package redistest

import (
	_ "embed"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

//go:embed shim/steps.c
var stepsSource []byte

// StartSteppableN is StartN with servers whose wall clocks StepClock can set. It
// takes a C compiler, as the race detector does, and Linux.
func StartSteppableN(t testing.TB, n int, args ...string) []*Server {
	t.Helper()
	library := buildSteps(t)
	return startN(t, n, args, func(s *Server) error {
		s.steps = filepath.Join(s.dir, "steps")
		s.env = []string{"LD_PRELOAD=" + library, "CLOCK_STEPS=" + s.steps}
		return os.WriteFile(s.steps, make([]byte, 8), 0o600)
	})
}

func buildSteps(t testing.TB) (library string) {
	t.Helper()
	dir := t.TempDir()
	source, library := filepath.Join(dir, "steps.c"), filepath.Join(dir, "steps.so")
	if err := os.WriteFile(source, stepsSource, 0o600); err != nil {
		t.Fatalf("os.WriteFile: %v", err)
	}
	if out, err := exec.Command("gcc", "-shared", "-fPIC", "-O1", "-o", library, source).CombinedOutput(); err != nil {
		t.Fatalf("redistest: building a clock that can be stepped takes gcc: %v\n%s", err, out)
	}
	return library
}

// StepClock sets the server's wall clock forward, or back, by d more than it is.
// It is for servers of StartSteppableN. Where the server answers it returns when that has noticed: Valkey 9 looks at the
// wall clock less often than it tells the time.
func (s *Server) StepClock(d time.Duration) {
	s.t.Helper()
	f, err := os.OpenFile(s.steps, os.O_RDWR, 0)
	if err != nil {
		s.t.Fatalf("redistest: the clock of the server at %s cannot be stepped: %v", s.addr, err)
	}
	defer f.Close()
	var offset [8]byte
	if _, err := f.ReadAt(offset[:], 0); err != nil {
		s.t.Fatalf("f.ReadAt: %v", err)
	}
	binary.NativeEndian.PutUint64(offset[:], binary.NativeEndian.Uint64(offset[:])+uint64(d.Microseconds()))
	if _, err := f.WriteAt(offset[:], 0); err != nil {
		s.t.Fatalf("f.WriteAt: %v", err)
	}
	ahead := time.Duration(binary.NativeEndian.Uint64(offset[:])) * time.Microsecond
	await(s.t, "the server has noticed the step of its clock", func() bool {
		said, err := s.Do("TIME")
		if err != nil {
			return true // it is paused, or dead
		}
		now := said.([]any)
		seconds, _ := strconv.ParseInt(now[0].(string), 10, 64)
		micros, _ := strconv.ParseInt(now[1].(string), 10, 64)
		return time.Since(time.Unix(seconds, micros*1000).Add(-ahead)).Abs() <= d.Abs()/2
	})
}
