using System.Globalization;
using System.Text.RegularExpressions;
using YamlDotNet.RepresentationModel;

namespace DistTrain.Engines.Tests;

/// <summary>Checks a manifest against the schema in a CustomResourceDefinition, as an API server with strict field validation does: types, required, unknown fields, enum, pattern, bounds.</summary>
internal sealed class CrdSchema
{
    private readonly YamlMappingNode _crd;

    internal CrdSchema(string text)
    {
        YamlStream stream = [];
        stream.Load(new StringReader(text));
        _crd = (YamlMappingNode)stream.Documents.Single(document => Text(Child(document.RootNode, "kind")) == "CustomResourceDefinition").RootNode;
    }

    internal string Kind => Text(Child(Child(_crd["spec"], "names"), "kind"))!;

    /// <summary>What is wrong with a resource: "path: problem"; empty if nothing is.</summary>
    internal List<string> Problems(YamlMappingNode resource)
    {
        string? version = Text(Child(resource, "apiVersion"))?.Split('/')[^1];
        YamlNode? schema = ((YamlSequenceNode)_crd["spec"]["versions"]).FirstOrDefault(each => Text(each["name"]) == version);
        if (schema is null) return [$"apiVersion: the definition has no version {version}"];
        List<string> problems = [];
        // The definition leaves metadata to Kubernetes.
        Check((YamlMappingNode)schema["schema"]["openAPIV3Schema"], resource, "", problems);
        return problems;
    }

    private static void Check(YamlMappingNode schema, YamlNode value, string path, List<string> problems)
    {
        if (Text(Child(schema, "x-kubernetes-int-or-string")) == "true")
        {
            if (value is not YamlScalarNode) problems.Add($"{path}: expected a number or a string");
            return;
        }
        switch (Text(Child(schema, "type")))
        {
            case "object": CheckObject(schema, value, path, problems); break;
            case "array" when value is YamlSequenceNode list && Child(schema, "items") is YamlMappingNode items:
                for (int i = 0; i < list.Children.Count; i++) Check(items, list[i], $"{path}[{i}]", problems);
                break;
            case "array": problems.Add($"{path}: expected a list"); break;
            case { } type: CheckScalar(schema, type, value, path, problems); break;
        }
    }

    private static void CheckObject(YamlMappingNode schema, YamlNode value, string path, List<string> problems)
    {
        if (value is not YamlMappingNode fields)
        {
            problems.Add($"{path}: expected fields");
            return;
        }
        YamlMappingNode? properties = Child(schema, "properties") as YamlMappingNode;
        YamlMappingNode? others = Child(schema, "additionalProperties") as YamlMappingNode;
        bool isOpen = (properties is null && others is null) || Text(Child(schema, "x-kubernetes-preserve-unknown-fields")) == "true";
        foreach ((YamlNode key, YamlNode field) in fields.Children)
        {
            string name = Text(key)!;
            if (Child(properties, name) is YamlMappingNode known) Check(known, field, $"{path}.{name}", problems);
            else if (others is not null) Check(others, field, $"{path}.{name}", problems);
            else if (!isOpen) problems.Add($"{path}.{name}: unknown field");
        }
        if (Child(schema, "required") is YamlSequenceNode required)
            problems.AddRange(required.Where(name => Child(fields, Text(name)!) is null).Select(name => $"{path}.{Text(name)}: missing"));
    }

    private static void CheckScalar(YamlMappingNode schema, string type, YamlNode value, string path, List<string> problems)
    {
        if (value is not YamlScalarNode scalar)
        {
            problems.Add($"{path}: expected {type}");
            return;
        }
        string text = scalar.Value!;
        bool isPlain = scalar.Style == YamlDotNet.Core.ScalarStyle.Plain;
        bool isNumber = isPlain && double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out _);
        bool isBoolean = isPlain && text is "true" or "false";
        bool fits = type switch
        {
            "integer" => isNumber && long.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out _),
            "number" => isNumber,
            "boolean" => isBoolean,
            _ => !isNumber && !isBoolean,
        };
        if (!fits) problems.Add($"{path}: '{text}' is no {type}");
        if (Child(schema, "enum") is YamlSequenceNode options && !options.Any(option => Text(option) == text)) problems.Add($"{path}: '{text}' is none of {string.Join(", ", options.Select(Text))}");
        if (Text(Child(schema, "pattern")) is { } pattern && !Regex.IsMatch(text, pattern)) problems.Add($"{path}: '{text}' does not match {pattern}");
        if (isNumber && Text(Child(schema, "minimum")) is { } minimum && double.Parse(text, CultureInfo.InvariantCulture) < double.Parse(minimum, CultureInfo.InvariantCulture))
            problems.Add($"{path}: {text} is below {minimum}");
    }

    private static YamlNode? Child(YamlNode? node, string name) => node is YamlMappingNode mapping && mapping.Children.TryGetValue(new YamlScalarNode(name), out YamlNode? child) ? child : null;

    private static string? Text(YamlNode? node) => (node as YamlScalarNode)?.Value;
}
