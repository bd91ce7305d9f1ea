{{- define "keyfold.name" -}}
{{- if contains "keyfold" .Release.Name }}{{ .Release.Name | trunc 52 | trimSuffix "-" }}{{ else }}{{ printf "%s-keyfold" (.Release.Name | trunc 44) }}{{ end }}
{{- end }}

{{- define "keyfold.selector" -}}
app.kubernetes.io/name: keyfold
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "keyfold.labels" -}}
{{ include "keyfold.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "keyfold.container" -}}
image: {{ required "image.repository names where the image is that the Dockerfile makes: registry.example/keyfold" .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  readOnlyRootFilesystem: true
  allowPrivilegeEscalation: false
  capabilities: {drop: [ALL]}
envFrom:
  - secretRef:
      name: {{ required "secret names a Secret that is there already, with KEYFOLD_SECRET and PGPASSWORD" .Values.secret }}
env:
  - name: KEYFOLD_PUBLIC_URL
    value: {{ required "publicUrl is where people reach it: https://keys.example" .Values.publicUrl | quote }}
  {{- with .Values.databaseUrl }}
  - name: KEYFOLD_DATABASE_URL
    value: {{ . | quote }}
  {{- end }}
  {{- if .Values.catalog }}
  - name: KEYFOLD_CATALOG
    value: /etc/keyfold/catalog.toml
  {{- end }}
  {{- range $name, $value := .Values.settings }}
  - name: {{ $name }}
    value: {{ $value | quote }}
  {{- end }}
volumeMounts:
  - {name: tmp, mountPath: /tmp}
  {{- if .Values.catalog }}
  - {name: catalog, mountPath: /etc/keyfold, readOnly: true}
  {{- end }}
{{- end }}
