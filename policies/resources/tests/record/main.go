// Records what Kubernetes reads of texts as quantities: `go run . > ../quantities.tsv`.
//
// A line is a text as a string of Go, a tab, and its thousandths, rounded up as the API server does to what it stores;
// `large` if they do not fit into an int64, and `error` if the text is not a quantity.
package main

import (
	"bufio"
	"fmt"
	"math/big"
	"math/rand"
	"os"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
)

const count = 2600

var known = strings.Fields(`
	0 -0 +0 00 0.0 0e5 0E 0Ei - + . Mi k m 1. .5 1.5. 1.1.1 1 2 10 0.5 100m 1000m 1500m 0.1 0.01 0.001 0.0001 1n 1u 999n 1000001n
	1k 1K 1M 1G 1T 1P 1E 1Ki 1Mi 1Gi 1Ti 1Pi 1Ei 1ki 1mi 1MI 1i 1Kib 1e 1e3 1E3 1e+3 1e-3 1e-4 1E-9 1e-10 1e03 1e-03 1e+ 1e- 1ee3
	1e3k 1ke3 1e1.5 1_000 1,5 0x10 1e400 1e-400 1.5e-9 9223372036854775807 9223372036854775808 9223372036854775.807
	9223372036854775.8071 9223372036854775.808 9223372036854775808m 9223372036854775807m 8Pi 8.1Pi 8Ei 9Ei 7Ei 0.1Ki 1.1Ki 0.0001Ki
	0.0000000001Ki 1.0000000001Gi 0.5Ei 0.001Pi 0.0078125Ei 99999999999999999999m 123456789012345678 1234567890123456789
	123456789012345678901234567890 0.123456789012345678901234567890 0.999999999999999999999 1e18 1e15 9e15 1e16 -1 -0.0001 -1n -1Ki
	+1Gi +.5 --1 +-1 1- 1+ NaN Inf infinity 1e18446744073709551616 ٣ é 1é`)

func digits(random *rand.Rand, most int) string {
	text := make([]byte, random.Intn(most))
	for index := range text {
		text[index] = "00012345678999"[random.Intn(14)]
	}
	return string(text)
}

func one(random *rand.Rand, of ...string) string {
	return of[random.Intn(len(of))]
}

func text(random *rand.Rand) string {
	text := one(random, "", "", "", "", "", "", "+", "-") + digits(random, []int{4, 8, 21}[random.Intn(3)])
	if random.Intn(2) == 0 {
		text += "." + digits(random, []int{3, 8, 24}[random.Intn(3)])
	}
	if random.Intn(4) == 0 {
		text += one(random, "e", "E") + one(random, "", "", "+", "-") + strconv.Itoa(random.Intn([]int{4, 12, 40}[random.Intn(3)]))
	} else {
		text += one(random, "", "n", "u", "m", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")
	}
	// Some texts are broken.
	if at := random.Intn(len(text) + 1); random.Intn(12) == 0 {
		text = text[:at] + one(random, "e", "E", "i", "n", "u", "m", "k", "K", "G", "T", "P", ".", "+", "-", "0", "x", "_") + text[at:]
	}
	return one(random, "", "", "", "", "", "", "", "", "", " ") + text
}

func thousandths(text string) string {
	// As it is read from JSON.
	quantity, err := resource.ParseQuantity(strings.TrimSpace(text))
	if err != nil {
		return "error"
	}
	quantity.RoundUp(resource.Milli)
	decimal := quantity.AsDec()
	value := new(big.Int).Set(decimal.UnscaledBig())
	power := new(big.Int).Exp(big.NewInt(10), new(big.Int).Abs(big.NewInt(int64(3-decimal.Scale()))), nil)
	if decimal.Scale() > 3 {
		value.Quo(value, power)
	} else {
		value.Mul(value, power)
	}
	if !value.IsInt64() {
		return "large"
	}
	return value.String()
}

func main() {
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	random, seen := rand.New(rand.NewSource(1)), map[string]bool{}
	for index := 0; index < len(known)+count; index++ {
		text := text(random)
		if index < len(known) {
			text = known[index]
		}
		if !seen[text] {
			seen[text] = true
			fmt.Fprintf(out, "%q\t%s\n", text, thousandths(text))
		}
	}
}
