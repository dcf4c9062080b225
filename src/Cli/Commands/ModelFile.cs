using DistTrain.Kernels;
using DistTrain.Runtime;

namespace DistTrain.Cli;

/// <summary>Weights as safetensors, with the <see cref="ModelDescription"/> in the file's metadata.</summary>
internal static class ModelFile
{
    public static void Save(ExecutionStream stream, Module model, ModelDescription description, string file) =>
        SafetensorsWriter.Write(file, stream, model.SaveState(), description.ToMetadata());

    /// <summary>A model with the file's weights; the caller disposes it.</summary>
    public static (Module Model, ModelDescription Description) Load(ExecutionStream stream, string file)
    {
        using SafetensorsReader reader = SafetensorsReader.Open(file);
        ModelDescription description = ModelDescription.FromMetadata(reader.Metadata, file);
        Module model = description.CreateModel();
        try
        {
            model.Initialize(stream, seed: 0);
            LoadInto(stream, model, reader);
            return (model, description);
        }
        catch
        {
            model.Dispose();
            throw;
        }
    }

    /// <summary>Copies a file's weights, written by this tool or another, into a model; every name and shape must match.</summary>
    public static void LoadInto(ExecutionStream stream, Module model, string file)
    {
        using SafetensorsReader reader = SafetensorsReader.Open(file);
        try
        {
            LoadInto(stream, model, reader);
        }
        catch (StateMismatchException failure)
        {
            throw new InvalidDataException($"{file} holds another model's weights: {failure.Message}", failure);
        }
    }

    private static void LoadInto(ExecutionStream stream, Module model, SafetensorsReader reader)
    {
        Dictionary<string, Tensor> state = [];
        try
        {
            foreach (SafetensorsEntry entry in reader.Entries)
                if (entry.DType is not null) state.Add(entry.Name, reader.Load(stream, entry.Name));
            model.LoadState(stream, state);
        }
        finally
        {
            foreach (Tensor tensor in state.Values) tensor.Dispose();
        }
    }
}
