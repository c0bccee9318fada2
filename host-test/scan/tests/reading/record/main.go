// Records what kubectl's decoder reads of each text in a table: `go run . TABLE...` rewrites the tables.
//
// A line of a table is a JSON object: `name`, `text` (or `base64`), and what is recorded: `kubectl`, the objects that
// kubectl would send, lists as their items, and `error`, what it says where it refuses some or all of it.
package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"os"

	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"
)

type entry struct {
	Name    string            `json:"name"`
	Text    string            `json:"text,omitempty"`
	Base64  string            `json:"base64,omitempty"`
	Kubectl []json.RawMessage `json:"kubectl"`
	Error   string            `json:"error,omitempty"`
}

// As kubectl's StreamVisitor, which goes on after what is no object and stops at what it cannot decode.
func read(text []byte) (objects []json.RawMessage, problem error) {
	utf := unicode.BOMOverride(unicode.UTF8.NewDecoder())
	decoder := yaml.NewYAMLOrJSONDecoder(transform.NewReader(bytes.NewReader(text), utf), 4096)
	objects = []json.RawMessage{}
	for {
		raw := runtime.RawExtension{}
		if err := decoder.Decode(&raw); errors.Is(err, io.EOF) {
			return objects, problem
		} else if err != nil {
			return objects, err
		}
		raw.Raw = bytes.TrimSpace(raw.Raw)
		if len(raw.Raw) == 0 || bytes.Equal(raw.Raw, []byte("null")) {
			continue
		}
		object, _, err := unstructured.UnstructuredJSONScheme.Decode(raw.Raw, nil, nil)
		if err != nil {
			if problem == nil {
				problem = err
			}
			continue
		}
		if list, is := object.(*unstructured.UnstructuredList); is {
			for index := range list.Items {
				// The decoder takes a list in a list, and kubectl, which makes one list of all, does not.
				if item := list.Items[index]; item.IsList() {
					if problem == nil {
						problem = fmt.Errorf("%T is not a list: no Items field in this object", &item)
					}
					continue
				}
				objects = append(objects, encode(list.Items[index].Object))
			}
		} else {
			objects = append(objects, encode(object.(*unstructured.Unstructured).Object))
		}
	}
}

func encode(value any) json.RawMessage {
	var buffer bytes.Buffer
	encoder := json.NewEncoder(&buffer)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		log.Fatal(err)
	}
	return bytes.TrimSpace(buffer.Bytes())
}

func record(path string) error {
	table, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var recorded bytes.Buffer
	lines := bufio.NewScanner(bytes.NewReader(table))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		of := entry{}
		if err := json.Unmarshal(lines.Bytes(), &of); err != nil {
			return err
		}
		text := []byte(of.Text)
		if of.Base64 != "" {
			if text, err = base64.StdEncoding.DecodeString(of.Base64); err != nil {
				return err
			}
		}
		objects, problem := read(text)
		of.Kubectl, of.Error = objects, ""
		if problem != nil {
			of.Error = problem.Error()
		}
		recorded.Write(encode(of))
		recorded.WriteByte('\n')
	}
	if err := lines.Err(); err != nil {
		return err
	}
	return os.WriteFile(path, recorded.Bytes(), 0o644)
}

func main() {
	for _, path := range os.Args[1:] {
		if err := record(path); err != nil {
			log.Fatalf("%s: %v", path, err)
		}
	}
}
