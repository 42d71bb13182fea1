package engine

import (
	"testing"
	"unsafe"

	"github.com/holdfast-go/holdfast/keeper"
)

// An engine that has had nothing to do yet has no room for what a busy one remembers: there may be a thousand on a machine.
func TestAnIdleEngineIsSmall(t *testing.T) {
	const most = 4 << 10
	if size := unsafe.Sizeof(Engine{}) + unsafe.Sizeof(keeper.Keeper{}); size > most {
		t.Errorf("an engine and its keeper have %d bytes, want at most %d", size, most)
	}
	if pieces := testing.AllocsPerRun(100, func() { keeper.New(nil, nil) }); pieces > 2 {
		t.Errorf("a keeper is made of %v pieces, want 2: itself and what wakes it, and no queue or channel of losses", pieces)
	}
}
