// Says what Kubernetes' own functions make of objects: which dangerous requests the rules of a role grant, what a
// NetworkPolicy and a Service are after defaulting, and which sources a load balancer has.
//
// `functions -seed N -count N -allowed BLOCK,BLOCK` reads objects from its input, one JSON object a line, and draws others
// from the seed. It prints a line for each: the object, and what the functions say.
//
// What a policy denies is written here from the policy's page, and shares no code with it.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/kubernetes/pkg/api/v1/service"
	coredefaults "k8s.io/kubernetes/pkg/apis/core/v1"
	networkingdefaults "k8s.io/kubernetes/pkg/apis/networking/v1"
	rbachelpers "k8s.io/kubernetes/pkg/apis/rbac/v1"
	"k8s.io/kubernetes/plugin/pkg/auth/authorizer/rbac"
	kjson "sigs.k8s.io/json"
)

// What is printed of an object.
type answer struct {
	Object json.RawMessage `json:"object"`
	// Why the API server does not take it; nothing else is said then.
	Error string `json:"error,omitempty"`
	// Of a role: for each rule, the controls of which it grants a request.
	Granted [][]string `json:"granted,omitempty"`
	// Of a NetworkPolicy or a Service: the object as its type writes it, and the same with its defaults.
	Typed     json.RawMessage `json:"typed,omitempty"`
	Defaulted json.RawMessage `json:"defaulted,omitempty"`
	// Of a load balancer whose sources can be read: whether each of them is within the blocks that `allowed` lists.
	Within *bool `json:"within,omitempty"`
}

func main() {
	log.SetFlags(0)
	seed := flag.Uint64("seed", 0, "what the objects are drawn from")
	count := flag.Int("count", 0, "how many objects of each kind are drawn")
	flag.Func("allowed", "blocks of addresses that load balancers may have as sources, separated by commas", func(text string) error {
		allowed = strings.Split(text, ",")
		return nil
	})
	flag.Parse()
	out := bufio.NewWriter(os.Stdout)
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	say := func(object []byte) {
		if err := encoder.Encode(answerFor(object)); err != nil {
			log.Fatal(err)
		}
	}
	in := bufio.NewReader(os.Stdin)
	for {
		line, err := in.ReadBytes('\n')
		if len(strings.TrimSpace(string(line))) > 0 {
			say(line)
		}
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			log.Fatal(err)
		}
	}
	for _, object := range single() {
		say(encode(object))
	}
	draw := drawing{rand.New(rand.NewPCG(*seed, 0))}
	for range *count {
		say(encode(draw.role()))
		say(encode(draw.networkPolicy()))
		say(encode(draw.service()))
	}
	if err := out.Flush(); err != nil {
		log.Fatal(err)
	}
}

func encode(value any) []byte {
	text, err := json.Marshal(value)
	if err != nil {
		log.Fatal(err)
	}
	return text
}

func answerFor(object []byte) answer {
	said := answer{Object: object}
	if err := said.fill(); err != nil {
		return answer{Object: object, Error: err.Error()}
	}
	return said
}

func (said *answer) fill() error {
	var of struct {
		Kind string `json:"kind"`
	}
	if err := kjson.UnmarshalCaseSensitivePreserveInts(said.Object, &of); err != nil {
		return err
	}
	switch of.Kind {
	case "Role", "ClusterRole":
		// The rules of both are of the same type.
		var role rbacv1.ClusterRole
		if err := kjson.UnmarshalCaseSensitivePreserveInts(said.Object, &role); err != nil {
			return err
		}
		said.Granted = [][]string{}
		for index := range role.Rules {
			said.Granted = append(said.Granted, granted(&role.Rules[index]))
		}
	case "NetworkPolicy":
		var policy networkingv1.NetworkPolicy
		if err := kjson.UnmarshalCaseSensitivePreserveInts(said.Object, &policy); err != nil {
			return err
		}
		said.Typed = encode(policy)
		networkingdefaults.SetObjectDefaults_NetworkPolicy(&policy)
		said.Defaulted = encode(policy)
	case "Service":
		var of corev1.Service
		if err := kjson.UnmarshalCaseSensitivePreserveInts(said.Object, &of); err != nil {
			return err
		}
		said.Typed = encode(of)
		coredefaults.SetObjectDefaults_Service(&of)
		said.Defaulted = encode(of)
		if of.Spec.Type == corev1.ServiceTypeLoadBalancer {
			ranges, err := service.GetLoadBalancerSourceRanges(&of)
			if err != nil {
				return err
			}
			within := true
			for _, block := range ranges {
				within = within && slices.ContainsFunc(allowed, func(wide string) bool { return isWithin(block, wide) })
			}
			said.Within = &within
		}
	default:
		return fmt.Errorf("expected a Role, ClusterRole, NetworkPolicy or Service, found %q", of.Kind)
	}
	return nil
}

// The sources that load balancers may have. No two of these blocks are one together.
var allowed []string

func isWithin(block *net.IPNet, wide string) bool {
	_, outer, err := net.ParseCIDR(wide)
	if err != nil {
		log.Fatal(err)
	}
	ones, bits := block.Mask.Size()
	outerOnes, outerBits := outer.Mask.Size()
	return bits == outerBits && ones >= outerOnes && outer.Contains(block.IP)
}

// With which names a request is asked for.
type names int

const (
	// resourceNames do not help: also with those of the rule.
	whatever names = iota
	// resourceNames are enough: only with a name that no rule has.
	other
	// Also with the name of a role that nobody may bind.
	bound
)

// What one of these verbs may do with one of these resources, each `resource` or `resource/subresource`.
type danger struct {
	control   string
	group     string
	resources []string
	verbs     []string
	names     names
}

var roles = []string{"roles", "clusterroles"}

var dangers = []danger{
	{"escalate", rbacv1.GroupName, roles, []string{"escalate"}, whatever},
	{"bind", rbacv1.GroupName, roles, []string{"bind"}, bound},
	{"impersonate", "", []string{"users", "groups", "serviceaccounts"}, []string{"impersonate"}, whatever},
	{"impersonate", "authentication.k8s.io", []string{"uids", "userextras"}, []string{"impersonate"}, whatever},
	{"impersonate", "authentication.k8s.io", []string{"users", "groups", "serviceaccounts", "uids", "userextras", "nodes"},
		[]string{"impersonate:user-info", "impersonate:serviceaccount", "impersonate:arbitrary-node",
			"impersonate:associated-node"}, whatever},
	{"secrets", "", []string{"secrets"}, []string{"list", "watch"}, whatever},
	{"secrets", "", []string{"secrets"}, []string{"get"}, other},
	{"nodesProxy", "", []string{"nodes/proxy"}, []string{"get", "create", "update", "patch", "delete"}, whatever},
	{"podExec", "", []string{"pods/exec", "pods/attach", "pods/portforward"}, []string{"create", "get"}, whatever},
	{"podExec", "", []string{"pods/ephemeralcontainers"}, []string{"update", "patch"}, whatever},
	{"serviceAccountTokens", "", []string{"serviceaccounts/token"}, []string{"create"}, whatever},
	{"persistentVolumes", "", []string{"persistentvolumes"}, []string{"create"}, whatever},
	{"csrApproval", "certificates.k8s.io", []string{"certificatesigningrequests/approval"}, []string{"update", "patch"},
		whatever},
	{"webhooks", "admissionregistration.k8s.io", []string{"mutatingwebhookconfigurations",
		"validatingwebhookconfigurations", "mutatingadmissionpolicies", "mutatingadmissionpolicybindings",
		"validatingadmissionpolicies", "validatingadmissionpolicybindings"},
		[]string{"create", "update", "patch", "delete", "deletecollection"}, whatever},
	{"podCreation", "", []string{"pods", "replicationcontrollers"}, []string{"create"}, whatever},
	{"podCreation", "apps", []string{"deployments", "replicasets", "statefulsets", "daemonsets"}, []string{"create"},
		whatever},
	{"podCreation", "batch", []string{"jobs", "cronjobs"}, []string{"create"}, whatever},
}

// What no list of a rule has, unless it has what stands for everything.
const unheardOf = "unheard-of.example.com"

// The controls that deny a rule.
func granted(rule *rbacv1.PolicyRule) []string {
	controls := []string{}
	if hasWildcard(rule) {
		controls = append(controls, "wildcards")
	}
	for _, danger := range dangers {
		if !slices.Contains(controls, danger.control) && danger.isGranted(rule) {
			controls = append(controls, danger.control)
		}
	}
	return controls
}

// Whether the verbs or the resources of an API group are all that there are. This is asked of the lists one by one: a
// rule in which another list is empty grants nothing, and is denied all the same.
func hasWildcard(rule *rbacv1.PolicyRule) bool {
	if len(rule.APIGroups) == 0 || len(rule.Resources) == 0 {
		return false
	}
	return rbachelpers.VerbMatches(rule, unheardOf) || rbachelpers.ResourceMatches(rule, unheardOf, "")
}

func (of danger) isGranted(rule *rbacv1.PolicyRule) bool {
	for _, verb := range of.verbsFor(rule) {
		for _, resource := range of.resourcesFor(rule) {
			for _, name := range of.namesFor(rule) {
				resource, subresource, _ := strings.Cut(resource, "/")
				request := authorizer.AttributesRecord{
					Verb: verb, APIGroup: of.group, Resource: resource, Subresource: subresource, Name: name,
					APIVersion: "v1", ResourceRequest: true,
				}
				if rbac.RuleAllows(request, rule) {
					return true
				}
			}
		}
	}
	return false
}

// A mode of impersonation that a rule names may come to be.
func (of danger) verbsFor(rule *rbacv1.PolicyRule) []string {
	verbs := of.verbs
	if strings.HasPrefix(verbs[0], "impersonate:") {
		for _, verb := range rule.Verbs {
			if strings.HasPrefix(verb, "impersonate:") {
				verbs = append(slices.Clone(verbs), verb)
			}
		}
	}
	return verbs
}

// The extra values of a user are subresources, each with its key as its name.
func (of danger) resourcesFor(rule *rbacv1.PolicyRule) []string {
	if !slices.Contains(of.resources, "userextras") {
		return of.resources
	}
	resources := append(slices.Clone(of.resources), "userextras/"+unheardOf)
	for _, resource := range rule.Resources {
		if _, key, is := strings.Cut(resource, "/"); is && key != "" {
			resources = append(resources, "userextras/"+key)
		}
	}
	return resources
}

func (of danger) namesFor(rule *rbacv1.PolicyRule) []string {
	switch of.names {
	case other:
		return []string{unheardOf}
	case bound:
		return []string{unheardOf, "cluster-admin"}
	default:
		return append(slices.Clone(rule.ResourceNames), unheardOf, "")
	}
}

// Roles with one rule for one request of a control, and with `*` in place of each part of it.
func single() []any {
	objects := []any{}
	for _, danger := range dangers {
		for _, verb := range danger.verbs {
			for _, resource := range danger.resources {
				resources := []string{resource, "*", "*/*", "pods/*"}
				if _, subresource, is := strings.Cut(resource, "/"); is {
					resources = append(resources, "*/"+subresource)
				}
				for _, resource := range resources {
					for _, verb := range []string{verb, "*"} {
						for _, group := range []string{danger.group, "*"} {
							rule := map[string]any{
								"apiGroups": []string{group}, "resources": []string{resource}, "verbs": []string{verb},
							}
							named := map[string]any{"resourceNames": []string{"a"}}
							for key, value := range rule {
								named[key] = value
							}
							objects = append(objects, role("Role", rule), role("ClusterRole", named))
						}
					}
				}
			}
		}
	}
	return objects
}

func role(kind string, rules ...any) map[string]any {
	return object("rbac.authorization.k8s.io/v1", kind, map[string]any{"rules": rules})
}

func object(version, kind string, fields map[string]any) map[string]any {
	metadata := map[string]any{"name": "a"}
	if kind != "ClusterRole" {
		metadata["namespace"] = "default"
	}
	fields["apiVersion"], fields["kind"] = version, kind
	if _, is := fields["metadata"]; !is {
		fields["metadata"] = metadata
	}
	return fields
}

type drawing struct{ *rand.Rand }

func (draw drawing) is(percent int) bool { return draw.IntN(100) < percent }

func (draw drawing) of(pool []string) string { return pool[draw.IntN(len(pool))] }

// Up to three texts, some of which are odd.
func (draw drawing) texts(usual, odd []string) []string {
	texts := []string{}
	for range draw.IntN(4) {
		if draw.is(20) {
			texts = append(texts, draw.of(odd))
		} else {
			texts = append(texts, draw.of(usual))
		}
	}
	return texts
}

// Sets a list, or leaves it unset, which is often the same as an empty one.
func (draw drawing) set(in map[string]any, key string, percent int, list []string) {
	if draw.is(percent) {
		in[key] = list
	}
}

func (draw drawing) role() any {
	all := danger{resources: []string{"widgets", "configmaps", "pods/log"}, verbs: []string{"get"}}
	allGroups := []string{"example.com"}
	for _, danger := range dangers {
		allGroups = append(allGroups, danger.group)
		all.resources, all.verbs = append(all.resources, danger.resources...), append(all.verbs, danger.verbs...)
	}
	rules := []any{}
	for range draw.IntN(4) {
		rule := map[string]any{}
		groups, resources, verbs := allGroups, all.resources, all.verbs
		// Drawn from all, few rules grant anything.
		if danger := dangers[draw.IntN(len(dangers))]; draw.is(70) {
			groups, resources, verbs = []string{danger.group}, danger.resources, danger.verbs
		}
		draw.set(rule, "apiGroups", 95, draw.texts(groups, []string{"*", "apps", "Apps", " ", "*.k8s.io"}))
		draw.set(rule, "resources", 95, draw.texts(resources, []string{"*", "*/*", "*/exec", "*/proxy", "*/token",
			"*/approval", "*/ephemeralcontainers", "*/scopes", "*/", "/", "/exec", "pods/*", "pods/", "userextras/",
			"userextras/scopes", "userextras/example.com/key", "userextras/*", "Secrets", "secrets/", "secrets/get", "*s", "",
			"pods/exec/x", "*/exec/x", "**"}))
		draw.set(rule, "verbs", 95, draw.texts(verbs, []string{"*", "Get", "impersonate:", "impersonate:later",
			"impersonate-on:user-info:list", "use", "", "cre*"}))
		draw.set(rule, "resourceNames", 25, draw.texts([]string{"a", "admin", "cluster-admin"}, []string{"", "*", "cluster-*"}))
		draw.set(rule, "nonResourceURLs", 10, draw.texts([]string{"/metrics", "/healthz/*"}, []string{"*", "/*", ""}))
		rules = append(rules, rule)
	}
	of := role(draw.of([]string{"Role", "ClusterRole"}), rules...)
	if draw.is(5) {
		of["rules"] = nil
	}
	if of["kind"] == "ClusterRole" && draw.is(10) {
		of["aggregationRule"] = map[string]any{"clusterRoleSelectors": []any{map[string]any{}}}
	}
	return of
}

func (draw drawing) networkPolicy() any {
	spec := map[string]any{"podSelector": map[string]any{}}
	types := [][]string{{}, {"Ingress"}, {"Egress"}, {"Ingress", "Egress"}, {"Egress", "Ingress"}, {"ingress"}}
	if draw.is(60) {
		spec["policyTypes"] = types[draw.IntN(len(types))]
	}
	for _, direction := range [][2]string{{"ingress", "from"}, {"egress", "to"}} {
		if draw.is(20) {
			continue
		}
		rules := []any{}
		for range draw.IntN(3) {
			rules = append(rules, draw.peers(direction[1]))
		}
		spec[direction[0]] = rules
	}
	return object("networking.k8s.io/v1", "NetworkPolicy", map[string]any{"spec": spec})
}

// A rule of a NetworkPolicy. Its ports say a protocol, or leave it to the default.
func (draw drawing) peers(list string) any {
	rule := map[string]any{}
	if draw.is(30) {
		return rule
	}
	block := func(cidr string) any { return map[string]any{"ipBlock": map[string]any{"cidr": cidr}} }
	peers := []any{
		block("10.0.0.0/8"), block("0.0.0.0/0"), block("::/0"),
		map[string]any{"namespaceSelector": map[string]any{}},
		map[string]any{"podSelector": map[string]any{}},
	}
	if draw.is(70) {
		rule[list] = []any{peers[draw.IntN(len(peers))]}
	}
	if draw.is(60) {
		ports := []any{}
		for range draw.IntN(3) {
			port := map[string]any{}
			if draw.is(80) {
				port["port"] = []int{53, 80, 443, 1}[draw.IntN(4)]
			}
			if port["port"] == 1 {
				port["endPort"] = 65535
			}
			if draw.is(60) {
				port["protocol"] = draw.of([]string{"TCP", "UDP", "SCTP"})
			}
			ports = append(ports, port)
		}
		rule["ports"] = ports
	}
	return rule
}

func (draw drawing) service() any {
	spec := map[string]any{}
	if draw.is(90) {
		spec["type"] = draw.of([]string{"", "ClusterIP", "NodePort", "LoadBalancer", "LoadBalancer", "LoadBalancer",
			"ExternalName"})
	}
	port := map[string]any{"port": 80}
	if draw.is(50) {
		port["nodePort"] = []int{0, 30000, 32767}[draw.IntN(3)]
	}
	spec["ports"] = []any{port}
	usual := []string{"10.1.0.0/16", "192.0.2.1/32", "2001:db8:1::/48", "10.0.0.0/8", " 10.2.0.0/16 "}
	odd := []string{"0.0.0.0/0", "8.8.8.0/24", "::/0", "10.0.0.0/7", "010.1.0.0/16", "", "10.1.0.0", "x"}
	draw.set(spec, "loadBalancerSourceRanges", 40, draw.texts(usual, odd))
	metadata := map[string]any{"name": "a", "namespace": "default"}
	if draw.is(40) {
		text := strings.Join(draw.texts(usual, odd), draw.of([]string{",", ",", ", ", " ,"}))
		metadata["annotations"] = map[string]any{corev1.AnnotationLoadBalancerSourceRangesKey: text}
	}
	draw.set(spec, "externalIPs", 20, draw.texts([]string{"192.0.2.1", "2001:db8::1"}, []string{"8.8.8.8"}))
	if spec["type"] == "ExternalName" {
		spec["externalName"] = "example.com"
	}
	return object("v1", "Service", map[string]any{"metadata": metadata, "spec": spec})
}
