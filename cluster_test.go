package holdfast_test

import (
	"testing"
	"time"
	"fmt"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/redistest"
)

func TestTry(t *testing.T) {
	begin := time.Now()
	c := redistest.StartCluster(t, 3, false)
	fmt.Println("started in", time.Since(begin))
	e, err := engine.Open(within(t), []string{"redis-cluster://" + c.Masters[0].Addr()}, engine.Config{TTL: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { fmt.Println(e.Close(within(t))) }()
	state(t, e, 0, instance.Up)
	for k := range 20 {
		l := acquire(t, e, fmt.Sprint("r", k), engine.WithFencing())
		release(t, l)
	}
	fmt.Println(e.Instances()[0])
}
