namespace DistTrain.Ingest;

/// <summary>A directory with images and labels as four IDX files under MNIST's usual names, each plain or as .gz.</summary>
internal static class IdxFolder
{
    internal static readonly string[] FileNames =
        ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"];

    /// <summary>The path of a file in the directory, plain or .gz; null if it has neither.</summary>
    internal static string? Find(string directory, string fileName)
    {
        string plain = Path.Combine(directory, fileName), compressed = plain + ".gz";
        return File.Exists(plain) ? plain : File.Exists(compressed) ? compressed : null;
    }

    internal static bool IsComplete(string directory) => FileNames.All(name => Find(directory, name) is not null);

    internal static LabelledImages Load(string directory, DataSplit split, IReadOnlyList<string>? classNames)
    {
        string imagePath = Require(directory, FileNames[split == DataSplit.Train ? 0 : 2]), labelPath = Require(directory, FileNames[split == DataSplit.Train ? 1 : 3]);
        return LoadPair(imagePath, labelPath, classNames ?? Numbered(directory), directory);
    }

    /// <summary>Images and labels of two files that belong together.</summary>
    /// <param name="imagePath">Images x rows x columns, or images x channels x rows x columns.</param>
    /// <param name="labelPath">A label for each.</param>
    /// <param name="classNames">What labels stand for; null: numbers as far as labels go.</param>
    /// <param name="source">For messages.</param>
    internal static LabelledImages LoadPair(string imagePath, string labelPath, IReadOnlyList<string>? classNames, string source)
    {
        using IdxReader imageReader = new(imagePath), labelReader = new(labelPath);
        ReadOnlySpan<int> extents = imageReader.Dimensions;
        if (extents.Length is not (3 or 4) || extents[1..].ContainsAnyInRange(int.MinValue, 0))
            throw new DataFormatException(imagePath, 3, $"dimensions {Join(extents)}, expected images x rows x columns or images x channels x rows x columns");
        if (labelReader.Dimensions.Length != 1 || labelReader.ElementCount != extents[0])
            throw new DataFormatException(labelPath, 3, $"dimensions {Join(labelReader.Dimensions)}, expected one label for each of the {extents[0]} images in {imagePath}");
        byte[] labels = labelReader.ReadBytes();
        classNames ??= Numbers(labels.AsSpan().IsEmpty ? 1 : labels.Max() + 1);
        int outside = labels.AsSpan().IndexOfAnyExceptInRange((byte)0, (byte)(classNames.Count - 1));
        if (outside >= 0)
            throw new DataFormatException(labelPath, 8 + outside, $"label {outside} is {labels[outside]}, expected 0 to {classNames.Count - 1}");
        return new LabelledImages(imageReader.ReadBytes(), labels, extents.Length == 4 ? extents[1] : 1, extents[^2], extents[^1], classNames, source);
    }

    private static string Require(string directory, string fileName) => Find(directory, fileName)
        ?? throw new FileNotFoundException($"{directory} has neither {fileName} nor {fileName}.gz; a data directory needs {string.Join(", ", FileNames)}, each plain or .gz");

    // Both parts count: one of them may lack the last class.
    private static string[] Numbered(string directory)
    {
        int count = 1;
        foreach (string fileName in (string[])[FileNames[1], FileNames[3]])
        {
            if (Find(directory, fileName) is not { } path) continue;
            using IdxReader reader = new(path);
            foreach (byte label in reader.ReadBytes()) count = Math.Max(count, label + 1);
        }
        return Numbers(count);
    }

    private static string[] Numbers(int count) => [.. Enumerable.Range(0, count).Select(index => index.ToString())];

    private static string Join(ReadOnlySpan<int> extents) => string.Join('x', extents.ToArray());
}
