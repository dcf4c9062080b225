using Parquet.Schema;

namespace DistTrain.Ingest;

/// <summary>Finds the columns that a program names in a file's schema.</summary>
internal static class ParquetSelection
{
    internal static List<(string Name, DataField Field)> Find(ParquetSchema schema, IReadOnlyList<string> names, string file)
    {
        List<(string Name, DataField Field)> all = [], chosen = [];
        foreach (Field field in schema.Fields) Collect(field, "", all);
        if (names.Count == 0) chosen = all;
        foreach (string name in names)
        {
            int at = all.FindIndex(column => column.Name == name);
            if (at < 0) throw Error(file, $"there is no column '{name}'; there are {Enumerate(all)}");
            chosen.Add(all[at]);
        }
        foreach ((string name, DataField field) in chosen)
            if (field.MaxRepetitionLevel > 1) throw Error(file, $"column '{name}' is a list of lists, which can't be read: select other columns");
        return chosen;
    }

    // A list of plain values is called by the list's own name.
    private static void Collect(Field field, string prefix, List<(string, DataField)> all)
    {
        switch (field)
        {
            case DataField data: all.Add((prefix + data.Name, data)); break;
            case ListField { Item: DataField item } list: all.Add((prefix + list.Name, item)); break;
            case ListField list: Collect(list.Item, $"{prefix}{list.Name}.", all); break;
            case MapField map:
                Collect(map.Key, $"{prefix}{map.Name}.", all);
                Collect(map.Value, $"{prefix}{map.Name}.", all);
                break;
            case StructField group:
                foreach (Field part in group.Fields) Collect(part, $"{prefix}{group.Name}.", all);
                break;
        }
    }

    private static string Enumerate(List<(string Name, DataField Field)> columns)
    {
        string text = string.Join(", ", columns.Take(20).Select(column => column.Name));
        return columns.Count > 20 ? $"{text} and {columns.Count - 20} more" : text;
    }

    private static IngestException Error(string file, string problem) => new("FromParquet", -1, new SourceLocation(file), problem);
}
