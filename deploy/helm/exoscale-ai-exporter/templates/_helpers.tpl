{{/* Names and labels. */}}
{{- define "exporter.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "exporter.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" }}
{{- else if contains (include "exporter.name" .) .Release.Name }}
{{- .Release.Name | trunc 52 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "exporter.name" .) | trunc 52 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "exporter.selectorLabels" -}}
app.kubernetes.io/name: {{ include "exporter.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* Labels of an object; what the selectors go by cannot be changed: (dict "root" $ "labels" .Values.…) */}}
{{- define "exporter.labels" -}}
{{- $own := dict "helm.sh/chart" (printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-") }}
{{- $_ := set $own "app.kubernetes.io/version" (.root.Chart.AppVersion | toString) }}
{{- $_ := set $own "app.kubernetes.io/component" "exporter" }}
{{- $_ := set $own "app.kubernetes.io/managed-by" .root.Release.Service }}
{{- merge (include "exporter.selectorLabels" .root | fromYaml) (.labels | default dict) .root.Values.commonLabels $own | toYaml }}
{{- end }}

{{/* name, namespace, labels and annotations of an object: (dict "root" $ "values" .Values.… "suffix" "-zones") */}}
{{- define "exporter.metadata" -}}
name: {{ include "exporter.fullname" .root }}{{ .suffix }}
namespace: {{ .values.namespace | default .root.Release.Namespace }}
labels:
  {{- include "exporter.labels" (dict "root" .root "labels" .values.additionalLabels) | nindent 2 }}
{{- with .values.annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "exporter.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (ternary (include "exporter.fullname" .) "default" .Values.serviceAccount.create) }}
{{- end }}

{{- define "exporter.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}
{{- end }}

{{/* Where the Service is, for Prometheus. */}}
{{- define "exporter.url" -}}
{{ .Values.web.scheme }}://{{ include "exporter.fullname" . }}.{{ .Release.Namespace }}.svc:{{ .Values.service.port }}
{{- end }}

{{/*
The accounts as the exporter's configuration has them, and where their credentials come from: JSON of
{accounts: [{name, …, api_key_file, api_secret_file}], sources: [{secret, apiKeyKey, apiSecretKey, folder}]}.
*/}}
{{- define "exporter.accounts" -}}
{{- $common := .Values.credentials }}
{{- $shared := pick $common "apiKeyKey" "apiSecretKey" }}
{{- $_ := set $shared "folder" "shared" }}
{{- $_ := set $shared "secret" ($common.existingSecret | default (include "exporter.fullname" .)) }}
{{- $accounts := list }}
{{- $sources := list }}
{{- range $index, $account := .Values.accounts | default (list (dict "name" "default")) }}
{{- $source := $shared }}
{{- if $account.existingSecret }}
{{- $own := dict "folder" (printf "account-%d" $index) "secret" $account.existingSecret }}
{{- $source = merge $own (pick $account "apiKeyKey" "apiSecretKey") $shared }}
{{- end }}
{{- if not (has $source $sources) }}
{{- $sources = append $sources $source }}
{{- end }}
{{- $key := printf "credentials/%s/api-key" $source.folder }}
{{- $secret := printf "credentials/%s/api-secret" $source.folder }}
{{- $accounts = append $accounts (merge (dict "api_key_file" $key "api_secret_file" $secret) (pick $account "name" "zones" "visibility" "endpoint")) }}
{{- end }}
{{- dict "accounts" $accounts "sources" $sources | toJson }}
{{- end }}

{{/* The exporter's configuration. */}}
{{- define "exporter.config" -}}
{{- $scrape := deepCopy .Values.scrape }}
{{- if and .Values.serviceMonitor.enabled (eq .Values.serviceMonitor.pattern "probe") (not (hasKey $scrape "deployments_on_metrics")) }}
{{- $_ := set $scrape "deployments_on_metrics" false }}
{{- end }}
{{- if hasKey $scrape "max_response_bytes" }}
{{- $_ := set $scrape "max_response_bytes" (int64 $scrape.max_response_bytes) }}
{{- end }}
{{- $config := dict "accounts" (include "exporter.accounts" . | fromJson).accounts }}
{{- if $scrape }}
{{- $_ := set $config "scrape" $scrape }}
{{- end }}
{{- toYaml $config }}
{{- end }}

{{/* A probe whose scheme follows web.scheme, where it says none: (dict "root" $ "probe" .Values.…) */}}
{{- define "exporter.probe" -}}
{{- $probe := deepCopy .probe }}
{{- if and $probe.httpGet (eq .root.Values.web.scheme "https") (not $probe.httpGet.scheme) }}
{{- $_ := set $probe.httpGet "scheme" "HTTPS" }}
{{- end }}
{{- toYaml $probe }}
{{- end }}

{{/* What the schema cannot say. */}}
{{- define "exporter.check" -}}
{{- $values := .Values }}
{{- if and $values.demo.faults (not $values.demo.enabled) }}
{{- fail "demo.faults is of use with demo.enabled only" }}
{{- end }}
{{- if and $values.demo.enabled (or $values.accounts $values.scrape $values.credentials.existingSecret $values.credentials.apiKey $values.credentials.apiSecret) }}
{{- fail "demo.enabled has a configuration of its own: leave out accounts, credentials and scrape" }}
{{- end }}
{{- if and $values.demo.enabled $values.serviceMonitor.enabled (eq $values.serviceMonitor.pattern "probe") }}
{{- fail "serviceMonitor.pattern: probe is not for demo.enabled, whose /metrics has everything" }}
{{- end }}
{{- if and $values.serviceMonitor.probes (ne $values.serviceMonitor.pattern "probe") }}
{{- fail "serviceMonitor.probes is of use with serviceMonitor.pattern: probe only" }}
{{- end }}
{{- if and $values.endpointProbes.enabled (not $values.endpointProbes.blackboxAddress) }}
{{- fail "endpointProbes.blackboxAddress: where blackbox_exporter listens, such as prometheus-blackbox-exporter.monitoring.svc:9115" }}
{{- end }}
{{- if and (ne (toString $values.podDisruptionBudget.minAvailable) "") (ne (toString $values.podDisruptionBudget.maxUnavailable) "") }}
{{- fail "podDisruptionBudget: give either minAvailable or maxUnavailable, not both" }}
{{- end }}
{{- if and $values.credentials.existingSecret (or $values.credentials.apiKey $values.credentials.apiSecret) }}
{{- fail "credentials: give either existingSecret or apiKey and apiSecret, not both" }}
{{- end }}
{{- if ne (empty $values.credentials.apiKey) (empty $values.credentials.apiSecret) }}
{{- fail "credentials: apiKey and apiSecret belong together, one of them is missing" }}
{{- end }}
{{- $names := list }}
{{- range $index, $account := $values.accounts }}
{{- if has $account.name $names }}
{{- fail (printf "accounts[%d].name: %q is given twice" $index $account.name) }}
{{- end }}
{{- $names = append $names $account.name }}
{{- end }}
{{- end }}
